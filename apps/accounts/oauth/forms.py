"""The forms of the authorization server's pages."""

from django import forms


class ConsentForm(forms.Form):
    """One decision: the button ``allow`` (``true``), or another. What is decided about is in the address."""

    allow = forms.BooleanField(required=False)
