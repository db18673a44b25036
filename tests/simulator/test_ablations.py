"""Each rule of the protocol, switched off: one schedule that sells twice or loses without it, and is clean with it.

The rules are in product code and have no switch there: a test puts a double in the place of the named one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from simulator.lab import Lab
from simulator.oracle import Violation
from tests.simulator import closings, growths, journals, parts, purses, sweeps


@dataclass(frozen=True)
class Ablation:
    rule: str
    off: Callable[[pytest.MonkeyPatch], None]
    schedule: Callable[[Lab], None]
    tokens: int = 1_000


ABLATIONS = (
    Ablation("run id", purses.no_run_id_check, purses.two_primaries_spend_one_purse),
    Ablation("generation", purses.no_generation_check, purses.restored_ledger_sells_again),
    Ablation("lease expiry", purses.no_lease_expiry, purses.fenced_primary_outlives_its_lease),
    Ablation("clock set back", purses.no_set_back_check, purses.fenced_primary_turns_its_clock_back),
    Ablation("closing waits for MAXCALL", closings.closing_without_grace, closings.call_runs_when_its_lease_expires),
    Ablation("closing waits for the drain", closings.closing_without_drain, closings.only_the_journal_knows),
    Ablation("closing waits for spools", closings.closing_without_spools, closings.only_a_spool_knows),
    Ablation(
        "reports are as of their counting", closings.report_counts_as_of_its_arrival, closings.report_arrives_late
    ),
    Ablation(
        "closing by a clock that only ticks", closings.closing_by_the_wall_clock, closings.clock_of_postgres_jumps
    ),
    Ablation("quarantine", sweeps.no_quarantine, sweeps.gateway_freezes_and_its_call_runs_on),
    Ablation("passes, not seconds", sweeps.death_by_seconds, sweeps.clock_of_valkey_jumps),
    Ablation("S corrects X", sweeps.sweep_has_the_last_word, sweeps.swept_call_tells_what_it_came_to),
    Ablation("spool", journals.no_spool, journals.gateway_and_valkey_die_together),
    Ablation(
        "progress in the spool",
        journals.adopted_calls_end_with_nothing,
        journals.gateway_dies_in_a_call_that_valkey_forgets,
    ),
    Ablation("identity in the mark", journals.mark_without_identity, journals.journal_is_lost_and_a_new_one_drained),
    Ablation("an end is booked once", journals.every_entry_is_news, journals.drainer_dies_between_commit_and_drained),
    Ablation("deadline of grants", parts.no_deadline_of_grants, parts.grant_arrives_after_its_lease_was_closed),
    Ablation("order of epochs", parts.no_order_of_epochs, parts.grant_is_delivered_twice),
    Ablation("a grant is sent once", parts.grant_is_repeated, parts.valkey_forgets_a_grant_whose_answer_was_lost),
    Ablation("own purse only", parts.holds_move_any_purse, parts.hold_ends_in_the_next_epoch, tokens=1_500),
    Ablation("growth from its own purse", growths.holds_grow_from_any_purse, growths.grown_in_the_next_epoch),
    Ablation("growth is held first", growths.growth_is_not_held, growths.grown_beyond_the_purse),
    Ablation("a return is booked once", parts.every_return_is_news, parts.return_is_drained_twice),
    Ablation("recall by journal", parts.recall_is_believed_by_its_reply, parts.commit_of_a_return_is_not_answered),
)

each = pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda ablation: ablation.rule.replace(" ", "-"))


@each
def test_schedule_is_clean_with_all_rules(ablation: Ablation) -> None:
    ablation.schedule(Lab(ablation.tokens))


@each
def test_schedule_breaks_a_promise_without_the_rule(ablation: Ablation, monkeypatch: pytest.MonkeyPatch) -> None:
    ablation.off(monkeypatch)
    with pytest.raises(Violation):
        ablation.schedule(Lab(ablation.tokens))
