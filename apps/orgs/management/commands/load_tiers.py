"""``manage.py load_tiers compat``: the limits of a shipped profile."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand

from apps.orgs import profiles


class Command(BaseCommand):
    help = "Give the shipped tiers the limits of a profile: default, or compat for those of the original product."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("profile", choices=sorted(profiles.PROFILES))

    def handle(self, *_args: Any, **options: Any) -> None:
        loaded = profiles.load(options["profile"])
        self.stdout.write(f"{options['profile']}: {', '.join(loaded)}")
