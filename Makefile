# Every command of the project. `make` alone lists them. Needs CPython 3.11-3.13 (PYTHON=… to choose) and nothing else.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help install install-dev run stop status logs reset test simulate test-long lint format types migrations deploy check bench bench-accounting bench-all pages lock

BIN := .venv/bin
LOCAL := $(BIN)/python -m leaky_tokens.local
LOCKS := uv base embedded dev
T := tests/architecture+tests/unit+tests/integration+tests/simulator tests/functional+tests/contract+tests/browser tests/faults
PYTEST := $(BIN)/python -m pytest -p tests.report --dist loadfile --no-loadscope-reorder
COMPILE := .local/tools/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-find-links

# Production settings insist on secrets and on a way for mail; for checks that serve nobody they get ones that lead nowhere.
DUMMY_SECRETS := EMAIL_URL=dummymail:// DJANGO_SECRET_KEY=only-for-checks-0123456789-abcdefghijklmnopqrstuvwxyz-0123456789 LEAKY_KEY_PEPPER=none \
	LEAKY_INTERNAL_KEYS=enhdUkk8hjIHGAigyhFWAn5Pkglt7wc3yuo0gTusNeA= \
	LEAKY_CREDENTIAL_KEYS=none:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=

help: ## This list
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

##@ Run
install: ## Make .venv with what `make run` needs (run does it by itself)
	@bootstrap/install run

# `exec`: the signal that is meant for make's child reaches the supervisor, not a shell before it.
run: install ## Start everything and print where it is; DETACH=1 returns when ready
	@exec $(LOCAL) run $(if $(DETACH),--detach)

stop: install ## Stop what runs here
	@exec $(LOCAL) stop

status: install ## What runs here; exit code 0 ready, 3 nothing runs, 4 not ready
	@exec $(LOCAL) status

logs: install ## Follow the logs; SERVICE=gateway for one
	@exec $(LOCAL) logs $(SERVICE)

reset: install ## Stop, and delete data, secrets and logs; YES=1 does not ask
	@exec $(LOCAL) reset $(if $(YES),--yes)

##@ Check
install-dev: ## Make .venv with what tests and checks need (they do it by themselves)
	@bootstrap/install dev

# Three runs: the tests of single apps need stores that no running system writes to; faults are timed, so nothing else runs
# beside them.
test: install-dev ## Unit, integration, functional, architecture, faults, browser; T=path for a part, ARGS=… goes to pytest
	@status=0; \
	for part in $(T); do \
		at_once=2; [ $$part != tests/faults ] || at_once=0; \
		echo "$(PYTEST) -n $$at_once -m 'not long' $$(echo $$part | tr + ' ') $(ARGS)"; \
		$(PYTEST) -n $$at_once -m "not long" $$(echo $$part | tr + ' ') $(ARGS) || status=$$?; \
	done; exit $$status

simulate: install-dev ## The accounting protocol under faults; SEEDS=20000, or ARGS="--seed 7 --trace" for one again
	@$(BIN)/python -m simulator --seeds $(or $(SEEDS),500) $(ARGS)

test-long: install-dev ## The races, repeated in full
	$(BIN)/python -m pytest -p tests.report -m long --timeout 1800 $(ARGS)

lint: install-dev ## ruff and the dependency rule
	$(BIN)/ruff check --output-format concise .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

format: install-dev ## Let ruff put things right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: install-dev ## mypy, strict
	$(BIN)/mypy

# The question is about models and files: nobody's database is asked (nothing listens on port 1, which is only a warning).
migrations: install-dev ## No model without its migration
	$(DUMMY_SECRETS) DATABASE_URL=postgres://nobody@127.0.0.1:1/none \
		$(BIN)/python -W "ignore:Got an error checking:RuntimeWarning" manage.py makemigrations --check --dry-run

deploy: install-dev ## Production settings, warnings are errors
	$(DUMMY_SECRETS) \
		$(BIN)/python manage.py check --deploy --fail-level WARNING --settings leaky_tokens.settings.prod

check: lint types migrations deploy ## Everything but the tests

bench: install-dev ## Measure; see docs/benchmarks.md
	$(BIN)/python -m benchmarks $(ARGS)

bench-accounting: install-dev ## Holds and settlements per second of a hot account, by backend
	$(BIN)/python -m benchmarks.accounting $(ARGS)

bench-all: install-dev ## Everything that docs/benchmarks.md names, in turn, on a quiet machine; half an hour
	$(BIN)/python -m benchmarks --subjects nginx,gateway,gateway-noop,litellm,portkey --write-docs $(ARGS)
	$(BIN)/python -m benchmarks.accounting $(ARGS)
	$(BIN)/python -m benchmarks.payers $(ARGS)
	$(BIN)/python -m benchmarks.shape $(ARGS)

##@ Maintain
# Without this shell's values: the pages show defaults.
pages: install-dev ## Render docs/configuration.md and docs/permissions.md from the code
	for page in configuration permissions; do \
		env -i PATH="$$PATH" DJANGO_SETTINGS_MODULE=leaky_tokens.settings.test \
			$(BIN)/python -m leaky_tokens.$$page || exit 1; done

lock: install ## Lock requirements/*.in again; ARGS="--upgrade" for newer versions
	cd requirements && for name in $(LOCKS); do ../$(COMPILE) $(ARGS) $$name.in -o $$name.txt || exit 1; done
