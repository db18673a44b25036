"""Who pays, as the ledger's commands are told on the command line."""

from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser
from django.db.models import Q


def add_arguments(parser: CommandParser) -> None:
    """Take exactly one of ``--user`` and ``--org``."""
    payer = parser.add_mutually_exclusive_group(required=True)
    payer.add_argument("--user", metavar="WHO", help="A user's name, e-mail address or id.")
    payer.add_argument("--org", metavar="ID", type=UUID, help="An organisation's id.")


def named(options: dict[str, Any]) -> tuple[str, UUID]:
    """The payer's kind and id.

    Raises:
        CommandError: there is no such user.
    """
    if options["org"]:
        return "org", options["org"]
    who = options["user"]
    users = get_user_model()._default_manager.filter(Q(username=who) | Q(email__iexact=who) | _by_id(who))  # noqa: SLF001
    user = users.first()
    if user is None:
        raise CommandError(f"There is no user {who}.")
    return "user", user.pk


def _by_id(who: str) -> Q:
    try:
        return Q(pk=UUID(who))
    except ValueError:
        return Q(pk__in=[])
