"""What a name, an address and a password may look like."""

import unicodedata

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from apps.accounts.models import User
from apps.core.errors import Unacceptable

LONGEST_USERNAME, LONGEST_EMAIL, LONGEST_PASSWORD = 50, 100, 128

_UNSEEN = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
"""Unicode categories of what nobody sees: control characters, changes of direction, unassigned ones."""


def clean_username(text: str) -> str:
    """The name without white space around it, in Unicode's normal form.

    Raises:
        Unacceptable: empty, too long, or with characters that nobody sees.
    """
    name = unicodedata.normalize("NFKC", text).strip()
    if not 1 <= len(name) <= LONGEST_USERNAME:
        raise Unacceptable("username", f"username must have 1 to {LONGEST_USERNAME} characters")
    if has_unseen(name):
        raise Unacceptable("username", "username must not contain control characters")
    return name


def clean_email(text: str) -> str:
    """The address without white space around it, in lower case.

    Raises:
        Unacceptable: it cannot be one, or is too long.
    """
    address = text.strip().lower()
    if len(address) > LONGEST_EMAIL:
        raise Unacceptable("email", f"email must have at most {LONGEST_EMAIL} characters")
    try:
        validate_email(address)
    except ValidationError as error:
        raise Unacceptable("email", "email must be a valid address") from error
    return address


def insist_on_policy(password: str, user: User | None = None, *, field: str = "password") -> None:
    """Hold a new password against the installation's policy.

    Raises:
        Unacceptable: with the first rule that it breaks.
    """
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Unacceptable(field, error.messages[0]) from error


def has_unseen(text: str) -> bool:
    """Whether there is a character in it that nobody sees: such names pass for others."""
    return any(unicodedata.category(character) in _UNSEEN for character in text)
