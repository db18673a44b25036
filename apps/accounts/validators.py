"""Checks of lists that keys and clients carry: anything else would silently allow nothing, or something else."""

from ipaddress import ip_network

from django.core.exceptions import ValidationError

from apps.core.http.caller import ALL_SCOPES


def validate_names(value: object) -> None:
    """A list of names.

    Raises:
        ValidationError: it is not.
    """
    if not _are_texts(value):
        raise ValidationError('A JSON list of names, as in ["gpt-4o-mini"].')


def validate_scopes(value: object) -> None:
    """A list of scopes that mean something here.

    Raises:
        ValidationError: naming those that do not.
    """
    if not _are_texts(value):
        raise ValidationError('A JSON list of scopes, as in ["inference"].')
    if unknown := set(value) - ALL_SCOPES:  # type: ignore[call-overload]
        raise ValidationError(f"Unknown scopes: {', '.join(sorted(unknown))}.")


def validate_networks(value: object) -> None:
    """A list of addresses or networks.

    Raises:
        ValidationError: naming the first that is none.
    """
    if not _are_texts(value):
        raise ValidationError('A JSON list of addresses or networks, as in ["203.0.113.0/24"].')
    for text in value:  # type: ignore[attr-defined]
        try:
            ip_network(text)
        except ValueError as error:
            raise ValidationError(f"{text!r} is no address or network: {error}.") from error


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) and text for text in value)


class MaximumLengthValidator:
    """Refuses passwords that only cost time to hash. For Django's password policy."""

    def __init__(self, max_length: int = 128) -> None:
        self.max_length = max_length

    def validate(self, password: str, user: object = None) -> None:  # noqa: ARG002 (Django's interface)
        """Nothing, or the refusal.

        Raises:
            ValidationError: it is too long.
        """
        if len(password) > self.max_length:
            raise ValidationError(f"This password is too long. It may have at most {self.max_length} characters.")

    def get_help_text(self) -> str:
        """The rule in a sentence."""
        return f"Your password may have at most {self.max_length} characters."
