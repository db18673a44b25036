"""``manage.py grant_tokens --user alice --provider openai --tokens 100000 --reason "trial"``."""

import getpass
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core.ids import uuid7
from apps.quotas import api
from apps.quotas.management import payer


class Command(BaseCommand):
    help = "Give a payer tokens to spend with a provider."

    def add_arguments(self, parser: CommandParser) -> None:
        payer.add_arguments(parser)
        parser.add_argument("--provider", required=True, help="The provider's slug.")
        parser.add_argument("--tokens", required=True, type=int, help="Tokens, as charged (after weights).")
        parser.add_argument("--reason", default="granted by command", help="What the ledger will say.")
        parser.add_argument("--grant-id", type=UUID, help="Repeat a grant whose outcome is not known, with its own id.")

    def handle(self, **options: Any) -> None:
        payer_kind, payer_id = payer.named(options)
        grant_id = options["grant_id"] or uuid7()
        try:
            account = api.grant(
                payer_kind=payer_kind,
                payer_id=payer_id,
                provider=options["provider"],
                tokens=options["tokens"],
                grant_id=grant_id,
                reason=options["reason"],
                actor=f"command:{getpass.getuser()}",
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"account {account.id}  grant {grant_id}  available {account.available:,}")
