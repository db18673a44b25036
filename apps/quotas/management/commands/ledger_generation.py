"""``manage.py ledger_generation``: the ledger's generation; ``--bump`` after PostgreSQL was restored to an older
state.
"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.quotas import api


class Command(BaseCommand):
    help = "Show the ledger's generation, or raise it: all purses in Valkey are void then, and new leases are taken."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--bump", action="store_true", help="Raise it, after a restore of PostgreSQL.")
        parser.add_argument("--reason", default="", help="Why, for the audit trail; needed with --bump.")

    def handle(self, **options: Any) -> None:
        if options["bump"] and not options["reason"]:
            raise CommandError("Say why: --reason.")
        generation = api.bump_generation(options["reason"]) if options["bump"] else api.ledger_generation()
        self.stdout.write(f"generation {generation}")
