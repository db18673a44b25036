"""``manage.py rotate_signing_keys``: the next key that signs tokens."""

import argparse
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from apps.accounts.api import SIGNING_KEY_LEAD, rotate_signing_key


class Command(BaseCommand):
    help = "Make the next signing key: published now, signing in a day. The one before stays good for its tokens."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--now",
            action="store_true",
            help="sign with it at once (the old one has leaked); verifiers that cache keys need a moment to learn it",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        kid, activates_at = rotate_signing_key(lead=timedelta(0) if options["now"] else SIGNING_KEY_LEAD)
        self.stdout.write(f"{kid} signs from {activates_at.isoformat()}")
