"""``manage.py show_balance --user alice``: a payer's accounts, and whether the ledger agrees with them."""

from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.quotas import api
from apps.quotas.management import payer

BALANCES = ("granted", "pending", "available", "leased", "held", "spent", "expired", "refunded", "absorbed")


class Command(BaseCommand):
    help = "Show a payer's balances in tokens, and check them against the ledger."

    def add_arguments(self, parser: CommandParser) -> None:
        payer.add_arguments(parser)
        parser.add_argument("--provider", help="Only the account with this provider.")

    def handle(self, **options: Any) -> None:
        accounts = [
            account
            for account in api.balances_of(*payer.named(options))
            if options["provider"] in {None, account.provider}
        ]
        for account in accounts:
            self._show(account)
        differences = [difference for account in accounts for difference in api.check_identities(account.id)]
        if differences:
            raise CommandError("\n".join(str(difference) for difference in differences))
        self.stdout.write("balances = transfers = holds" if accounts else "no account")

    def _show(self, account: api.Account) -> None:
        suspended = "  SUSPENDED" if account.suspended else ""
        self.stdout.write(f"{account.provider}  account {account.id}{suspended}")
        for name in BALANCES:
            self.stdout.write(f"  {name:<10}{asdict(account)[name]:>26,}")
