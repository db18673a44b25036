"""``manage.py reencrypt_credentials``: after a new key was put in front of LEAKY_CREDENTIAL_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.providers.api import reencrypt_credentials


class Command(BaseCommand):
    help = (
        "Seal every provider credential with the newest of LEAKY_CREDENTIAL_KEYS. An older key can be dropped once no "
        "key that signs tokens was sealed with it either: a day after rotate_signing_keys."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        self.stdout.write(f"{reencrypt_credentials()} credentials sealed anew")
