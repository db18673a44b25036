"""``manage.py grant_tokens --user alice --provider openai --tokens 100000 --reason "trial"``."""

import getpass
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core.ids import uuid7
from apps.quotas import orders
from apps.quotas.api import balance
from apps.quotas.management import payer
from apps.quotas.models import Order


class Command(BaseCommand):
    help = "Give a payer tokens to spend with a provider; many wait for somebody's approval in the console."

    def add_arguments(self, parser: CommandParser) -> None:
        payer.add_arguments(parser)
        parser.add_argument("--provider", required=True, help="The provider's slug.")
        parser.add_argument("--tokens", required=True, type=int, help="Tokens, as charged (after weights).")
        parser.add_argument("--reason", default="granted by command", help="What the ledger will say.")
        parser.add_argument("--grant-id", type=UUID, help="Repeat a grant whose outcome is not known, with its own id.")

    def handle(self, **options: Any) -> None:
        payer_kind, payer_id = payer.named(options)
        wish = orders.Wish(
            orders.GRANT, payer_kind, payer_id, options["provider"], options["tokens"], options["reason"],
            id=options["grant_id"] or uuid7(),
        )  # fmt: skip
        try:
            made = orders.order(wish, by=None, name=f"command:{getpass.getuser()}")
        except ValueError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(_told(made))


def _told(made: Order) -> str:
    """What became of the order.

    Raises:
        CommandError: nothing came of it, and nothing will.
    """
    if made.status == Order.Status.DONE:
        available = balance(made.account_id).available
        return f"account {made.account_id}  grant {made.id}  available {available:,}"
    if made.status == Order.Status.PENDING:
        return f"order {made.id} waits for a second person: approve it in the console"
    raise CommandError(f"order {made.id}: {made.get_status_display().lower()} {made.outcome}".strip())
