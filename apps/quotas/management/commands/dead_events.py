"""``manage.py dead_events``: journal entries that could not be booked; ``--replay ID`` or ``--discard ID`` decides."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from apps.core.errors import LeakyError
from apps.quotas import api


class Command(BaseCommand):
    help = "List journal entries that could not be booked; book one after all, or let it go."

    def add_arguments(self, parser: CommandParser) -> None:
        decision = parser.add_mutually_exclusive_group()
        decision.add_argument("--replay", metavar="ID", type=UUID, help="Book this entry after all.")
        decision.add_argument("--discard", metavar="ID", type=UUID, help="Let it go: what it tells of is not charged.")
        parser.add_argument("--reason", default="", help="Why, for the audit trail; needed for a decision.")

    def handle(self, **options: Any) -> None:
        if options["replay"] or options["discard"]:
            self._decide(options)
        for parked in api.parked_events():
            self.stdout.write(
                f"{parked.id}  {parked.parked_at:%Y-%m-%d %H:%M:%S}  shard {parked.shard:02d}  entry {parked.entry}  "
                f"account {parked.account or '-'}  {parked.error}"
            )

    def _decide(self, options: dict[str, Any]) -> None:
        if not options["reason"]:
            raise CommandError("Say why: --reason.")
        decide = api.replay_dead_event if options["replay"] else api.discard_dead_event
        try:
            decide(options["replay"] or options["discard"], options["reason"])
        except (LeakyError, Error, LookupError, ValueError, TypeError) as error:
            raise CommandError(f"{type(error).__name__}: {error}") from error
