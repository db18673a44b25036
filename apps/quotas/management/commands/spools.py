"""``manage.py spools``: gateways' spools, and since when each waits; ``--write-off ID`` stops waiting for a lost
one.
"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.quotas import api


class Command(BaseCommand):
    help = "List the spools of gateways that leases wait for; write one off whose file is lost."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--write-off", metavar="ID", help="Its file is lost: what only it knew is not charged.")
        parser.add_argument("--reason", default="", help="Why, for the audit trail; needed to write off.")

    def handle(self, **options: Any) -> None:
        if options["write_off"]:
            self._write_off(options["write_off"], options["reason"])
        for spool in api.spools():
            waits = "-" if spool.waits_ms is None else f"{spool.waits_ms / 1000:.1f} s"
            self.stdout.write(
                f"{spool.id}  {spool.host}  reported {spool.reported_at:%Y-%m-%d %H:%M:%S}  "
                f"pending {spool.pending}  oldest waits {waits}"
            )

    def _write_off(self, spool_id: str, reason: str) -> None:
        if not reason:
            raise CommandError("Say why: --reason.")
        if not api.write_off_spool(spool_id, reason):
            raise CommandError(f"There is no open spool {spool_id}.")
