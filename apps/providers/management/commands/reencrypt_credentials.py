"""``manage.py reencrypt_credentials``: after a new key was put in front of LEAKY_CREDENTIAL_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.accounts.api import reseal_signing_keys
from apps.providers.api import reencrypt_credentials


class Command(BaseCommand):
    help = (
        "Seal every provider credential, and the keys that sign tokens, with the newest of LEAKY_CREDENTIAL_KEYS. "
        "Afterwards older ones can be dropped."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        credentials, signing_keys = reencrypt_credentials(), reseal_signing_keys()
        self.stdout.write(f"{credentials} credentials and {signing_keys} signing keys sealed anew")
