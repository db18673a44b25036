"""The forms of the account's pages. They check shapes; whether something may be done is decided by the services."""

from typing import Any

from django import forms
from django.core.validators import MaxLengthValidator

NAME_LENGTH, EMAIL_LENGTH, PASSWORD_LENGTH = 50, 100, 128
MISMATCH = "The two passwords are not the same."


def _password(label: str, autocomplete: str, help_text: str = "") -> forms.CharField:
    """Never trimmed, never sent back, long enough for any pass phrase."""
    return forms.CharField(
        label=label,
        strip=False,
        help_text=help_text,
        validators=[MaxLengthValidator(PASSWORD_LENGTH)],
        widget=forms.PasswordInput(attrs={"autocomplete": autocomplete}),
    )


def _email() -> forms.EmailField:
    return forms.EmailField(
        label="E-mail address",
        max_length=EMAIL_LENGTH,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "inputmode": "email", "autocapitalize": "none"}),
    )


def _username(autofocus: bool = True) -> forms.CharField:  # noqa: FBT001, FBT002
    attributes = {"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}
    widget = forms.TextInput(attrs=attributes | ({"autofocus": True} if autofocus else {}))
    return forms.CharField(label="Username", max_length=NAME_LENGTH, widget=widget)


class _Twice(forms.Form):
    """A new password is typed twice, because nobody sees what they type."""

    def clean(self) -> dict[str, Any]:
        """The values.

        Raises:
            ValidationError: the two passwords differ.
        """
        values = super().clean() or self.cleaned_data
        if "new_password" in values and "again" in values and values["new_password"] != values["again"]:
            self.add_error("again", MISMATCH)
        return values


class SignIn(forms.Form):
    """Who, and the proof."""

    username = _username()
    password = _password("Password", "current-password")


class SignUp(_Twice):
    """A new person."""

    username = _username()
    email = _email()
    new_password = _password("Password", "new-password", "A long one is better than a complicated one.")
    again = _password("Password, once more", "new-password")


class Forgot(forms.Form):
    """Where to send the link."""

    email = _email()


class Reset(_Twice):
    """A new password for whoever has the link."""

    new_password = _password("New password", "new-password", "A long one is better than a complicated one.")
    again = _password("New password, once more", "new-password")


class Change(_Twice):
    """A new password for whoever knows the present one."""

    current_password = _password("Current password", "current-password")
    new_password = _password("New password", "new-password", "A long one is better than a complicated one.")
    again = _password("New password, once more", "new-password")
