"""``manage.py reconcile``: the audit of the ledger, now; ``--thaw`` lets leases close again once somebody has
looked.
"""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.quotas import api


class Command(BaseCommand):
    help = "Compare the ledger with its evidence and with Valkey. A difference freezes the closing of leases."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", type=UUID, help="Only this account; nothing is frozen then.")
        parser.add_argument("--thaw", action="store_true", help="Let leases close again, if nothing differs.")
        parser.add_argument("--reason", default="", help="Why, for the audit trail; needed with --thaw.")

    def handle(self, **options: Any) -> None:
        if options["thaw"] and not options["reason"]:
            raise CommandError("Say why: --reason.")
        found = api.audit_account(options["account"]) if options["account"] else api.audit_ledger()
        if found:
            raise CommandError("\n".join(str(difference) for difference in found))
        if options["thaw"]:
            api.thaw_closing(options["reason"])
        state = api.ledger_state()
        frozen = f"closing is frozen: {state.frozen_because}" if state.closing_frozen else "leases close"
        self.stdout.write(f"no difference; {frozen}")
