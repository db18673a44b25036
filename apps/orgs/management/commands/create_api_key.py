"""``manage.py create_api_key``: a key for a program, shown once."""

import argparse
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from apps.accounts.api import create_api_key, find_user
from apps.orgs.api import is_member


class Command(BaseCommand):
    help = "Make an API key and print it once, alone on standard output."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--user", required=True, help="username, e-mail address or id of the key's owner")
        parser.add_argument("--name", required=True, help="what the key is for")
        parser.add_argument("--org", type=UUID, help="id of the organisation that pays; without it the owner pays")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            owner = find_user(options["user"])
        except LookupError as error:
            raise CommandError(str(error)) from error
        org_id = options["org"]
        if org_id and not is_member(org_id, owner.pk):
            raise CommandError(f"{owner.get_username()} is not a member of organisation {org_id}")
        _key, text = create_api_key(owner, options["name"], org_id=org_id)
        self.stdout.write(text)
