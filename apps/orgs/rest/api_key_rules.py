"""What a caller may give a key: never more than the credential has that makes it."""

from collections.abc import Collection

from apps.accounts import api as accounts
from apps.core.http.caller import KEY_SCOPES, Caller
from apps.core.http.errors import ApiError


def insist_on_unlimited(caller: Caller) -> None:
    """A key with limits could make itself one without.

    Raises:
        ApiError: 403, the caller's credential is such a key.
    """
    if not accounts.may_issue_keys(caller):
        raise ApiError(403, "limited_key", "A key with limits of its own cannot make or change keys.")


def insist_on_scopes(caller: Caller, scopes: frozenset[str]) -> None:
    """Nobody hands on what they have not.

    Raises:
        ApiError: 403, naming a scope that the caller's credential lacks.
    """
    if lacking := sorted(scopes - caller.scopes):
        raise ApiError(403, "insufficient_scope", f"The credential lacks the scope {lacking[0]}.")


def scopes_of_new(caller: Caller, wanted: Collection[str] | None) -> frozenset[str] | None:
    """Scopes of a new key: those that are wanted, otherwise the usual ones that the caller has. None: the usual ones.

    Raises:
        ApiError: 403, the caller's credential lacks one of those that are wanted, or all of the usual ones.
    """
    usual = KEY_SCOPES & caller.scopes
    if wanted is not None or not usual:
        chosen = frozenset(wanted or KEY_SCOPES)
        insist_on_scopes(caller, chosen)
        return chosen
    return None if usual == KEY_SCOPES else usual
