"""``manage.py expire_holds``: what the loop does every second, by hand."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.quotas import api


class Command(BaseCommand):
    help = "End the holds whose calls nobody has renewed in time, charging what they had reported."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=int, default=1000, help="End no more than this (default 1000).")

    def handle(self, **options: Any) -> None:
        self.stdout.write(f"ended {api.expire_holds(limit=options['limit'])}")
