#!/usr/bin/env python
"""Commands for developers and operators."""

import os
import sys

from django.core.management import execute_from_command_line

from apps.core.acting import acting
from leaky_tokens.command_line import actor_of

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaky_tokens.settings.dev")
    with acting(actor_of(sys.argv)):
        execute_from_command_line(sys.argv)
