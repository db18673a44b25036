"""What a stolen copy of the database opens: no key."""

import os
import subprocess

import pytest

from apps.accounts.api import create_api_key, rotate_api_key
from apps.accounts.services import revoke_api_key
from leaky_tokens.local.wheels import directory_of
from tests.integration.accounts.callers import new_user
