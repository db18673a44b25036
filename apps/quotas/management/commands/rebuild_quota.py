"""``manage.py rebuild_quota``: what Valkey has of each lease against the ledger; without ``--check`` it starts over.

After Valkey has lost its data nothing needs to be done: the first call of each account takes a new lease. This shows
what is where, and puts leases in doubt at once whose purses are gone, so that their tokens are on their way back.
"""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandParser

from apps.quotas import api


class Command(BaseCommand):
    help = "Compare purses with leases; without --check, recall what purses have and doubt the leases without one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", type=UUID, help="Only this account.")
        parser.add_argument("--check", action="store_true", help="Change nothing.")

    def handle(self, **options: Any) -> None:
        changed = 0
        for found in api.purses_of_leases(options["account"]):
            self.stdout.write(
                f"{found.account}  epoch {found.epoch}  leased {found.leased:,}  in the purse {found.in_purse:,}  "
                f"in the journal {found.journalled:,}  {found.standing}"
            )
            if not options["check"]:
                changed += api.start_over(found)
        self.stdout.write("nothing was changed" if options["check"] else f"started over: {changed}")
