"""``manage.py ledger_seals``: the sealed days of the ledger; ``--verify`` compares each with its transfers."""

from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.quotas import api
from apps.quotas.models import DaySeal


class Command(BaseCommand):
    help = "List the seals on the days of the ledger, or compare what is sealed with what is there."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--day", type=date.fromisoformat, help="Only this day, as 2026-11-28.")
        parser.add_argument("--verify", action="store_true", help="Read each day again. Exit code 1 if one differs.")

    def handle(self, **options: Any) -> None:
        seals = DaySeal.objects.order_by("day")
        found = []
        for seal in seals.filter(day=options["day"]) if options["day"] else seals:
            differs = api.check_seals(seal.day) if options["verify"] else []
            verdict = "" if not options["verify"] else "  DIFFERS" if differs else "  as sealed"
            self.stdout.write(f"{seal.day}  {seal.transfers:>12,}  {bytes(seal.digest).hex()}{verdict}")
            found += differs
        if found:
            raise CommandError("\n".join(str(difference) for difference in found))
