"""``manage.py rotate_signing_keys``: the next key that signs tokens, and the end of one that has leaked."""

import argparse
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.accounts.api import SIGNING_KEY_LEAD, rotate_signing_key, withdraw_signing_key
from apps.core.errors import NotFound


class Command(BaseCommand):
    help = "Make the next signing key: published now, signing in a day. The one before stays good for its tokens."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        instead = parser.add_mutually_exclusive_group()
        instead.add_argument(
            "--now",
            action="store_true",
            help="sign with it at once; verifiers that cache keys need a moment to learn it",
        )
        instead.add_argument(
            "--withdraw",
            metavar="KID",
            help="take this key away, which has leaked; all its tokens end, and if it signs, the next one does at once",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["withdraw"]:
            self._withdraw(options["withdraw"])
            return
        kid, activates_at = rotate_signing_key(lead=timedelta(0) if options["now"] else SIGNING_KEY_LEAD)
        self.stdout.write(f"{kid} signs from {activates_at.isoformat()}")

    def _withdraw(self, kid: str) -> None:
        try:
            signs = withdraw_signing_key(kid)
        except NotFound as error:
            raise CommandError(f"no signing key {kid}, or it is withdrawn already") from error
        self.stdout.write(f"{kid} is withdrawn; {signs} signs")
