"""``manage.py explain req_…``: what became of a request, in plain words."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.quotas.explain import explain

UNKNOWN = "Nothing is known of it: it never reached admission, or was refused more than a day ago."


class Command(BaseCommand):
    help = "Tell why a call was refused, or what was held, charged and booked for it, by its request or reservation id."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("request", metavar="ID", help="The x-request-id or x-reservation-id of the answer.")

    def handle(self, **options: Any) -> None:
        calls = explain(options["request"])
        if not calls:
            raise CommandError(UNKNOWN)
        for number, call in enumerate(calls):
            if number:
                self.stdout.write("")
            self.stdout.write("\n".join(call.sentences))
