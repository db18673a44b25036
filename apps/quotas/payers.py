"""Whose tokens a caller may look at: their own, those of organisations that they belong to, an ADMIN everybody's.

A credential that is bound to an organisation looks at that organisation's only, whoever its user is.
"""

from dataclasses import dataclass
from uuid import UUID

from apps.accounts.api import roles_of
from apps.core.errors import NotFound, Refused
from apps.core.http.caller import Caller
from apps.orgs.api import Tier, standing_for, tier_of, tiers
from apps.quotas.domain import account_id

USER, ORG = "user", "org"


class NotYours(Refused):
    """The user is another one."""

    code = "forbidden"


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays: ``kind`` is ``user`` or ``org``."""

    kind: str
    id: UUID

    def account(self, provider: str) -> UUID:
        """The id of its account with a provider, whether there is one or not."""
        return account_id(self.kind, self.id, provider)


def own(caller: Caller) -> Payer:
    """Who pays when the caller names nobody: the organisation that the credential is bound to, else the user.

    Raises:
        NotYours: the credential has no user.
    """
    if caller.org_id is not None:
        return Payer(ORG, caller.org_id)
    if caller.user_id is None:
        raise NotYours("This credential pays for nobody.")
    return Payer(USER, caller.user_id)


def user(caller: Caller, user_id: UUID) -> Payer:
    """A user as a payer.

    Raises:
        NotYours: it is not the caller, who is no ADMIN either; or the credential is for an organisation only.
    """
    if caller.org_id is not None or not (caller.is_admin or user_id == caller.user_id):
        raise NotYours("These tokens are not yours to see.")
    return Payer(USER, user_id)


def organisation(caller: Caller, org_id: UUID) -> Payer:
    """An organisation as a payer, for its members.

    Raises:
        NotFound: there is none, or it is none of the caller's.
    """
    return Payer(ORG, standing_for(caller, org_id).org_id)


def may_see(caller: Caller, payer_kind: str, payer_id: UUID) -> bool:
    """Whether what this payer paid for is the caller's to look at."""
    try:
        (organisation if payer_kind == ORG else user)(caller, payer_id)
    except (NotFound, NotYours):
        return False
    return True


def tier(payer: Payer) -> Tier:
    """The limits that are a payer's now. At most four queries."""
    roles = roles_of(payer.id) if payer.kind == USER else ()
    return tiers()[tier_of(payer.kind, payer.id, roles)]
