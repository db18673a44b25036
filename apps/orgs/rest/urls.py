"""Routes of organisations, their members, and keys. All belong to the service ``auth``.

Ids are taken as text, so that a malformed one is answered like one that is somebody else's.
"""

from django.urls import URLPattern, URLResolver, path

from apps.orgs.rest import api_keys
from apps.orgs.rest.audit import AuditView
from apps.orgs.rest.invitations import Accepting, Invitations, OneInvitation
from apps.orgs.rest.member_limits import MemberLimits, OrgLimits
from apps.orgs.rest.members import Leaving, Members, OneMember
from apps.orgs.rest.org_keys import OneOrgKey, OrgKeys, ServiceAccountKeys
from apps.orgs.rest.organisations import OneOrganisation, Organisations
from apps.orgs.rest.service_accounts import OneServiceAccount, ServiceAccounts

_ORG = "api/v1/orgs/<str:org_id>"

app_name = "auth-orgs"
urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/orgs", Organisations.as_view()),
    path(_ORG, OneOrganisation.as_view()),
    path(f"{_ORG}/members", Members.as_view()),
    path(f"{_ORG}/members/<str:user_id>", OneMember.as_view()),
    path(f"{_ORG}/members/<str:user_id>/limits", MemberLimits.as_view()),
    path(f"{_ORG}/limits", OrgLimits.as_view()),
    path(f"{_ORG}/leave", Leaving.as_view()),
    path(f"{_ORG}/invitations", Invitations.as_view()),
    path(f"{_ORG}/invitations/<str:invitation_id>", OneInvitation.as_view()),
    path("api/v1/invitations/accept", Accepting.as_view()),
    path(f"{_ORG}/service-accounts", ServiceAccounts.as_view()),
    path(f"{_ORG}/service-accounts/<str:user_id>", OneServiceAccount.as_view()),
    path(f"{_ORG}/service-accounts/<str:user_id>/api-keys", ServiceAccountKeys.as_view()),
    path(f"{_ORG}/api-keys", OrgKeys.as_view()),
    path(f"{_ORG}/api-keys/<str:key_id>", OneOrgKey.as_view()),
    path("api/v1/audit", AuditView.as_view()),
    path("api/v1/auth/api-keys", api_keys.ApiKeysView.as_view()),
    path("api/v1/auth/api-keys/<str:key_id>", api_keys.ApiKeyView.as_view()),
    path("api/v1/auth/api-keys/<str:key_id>/rotate", api_keys.RotateApiKeyView.as_view()),
]
