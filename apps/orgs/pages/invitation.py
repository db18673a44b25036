"""The page to which an invitation's e-mail leads."""

from typing import TYPE_CHECKING, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.core.errors import NotFound, Refused
from apps.core.http.pages import message, page, signed_in
from apps.orgs.invitations import offered
from apps.orgs.memberships import accept_invitation

if TYPE_CHECKING:
    from uuid import UUID


@page("GET", "POST")
@signed_in
def accept(request: HttpRequest) -> HttpResponse:
    """Ask, then join. A link that is opened joins nobody: programs that look at mail open links, too."""
    secret = request.GET.get("token", "")
    try:
        if request.method != "POST":
            return render(request, "account/invitation.html", {"invitation": offered(secret)})
        accept_invitation(secret, cast("UUID", request.user.pk))
    except NotFound:
        return _refused(request, "The invitation is too old, was used or taken back. Please ask for another.", 404)
    except Refused as error:
        return _refused(request, str(error), 403)
    return message(request, "Welcome", "You are a member now.", link=settings.LOGIN_REDIRECT_URL,
                   link_label="To your account")  # fmt: skip


def _refused(request: HttpRequest, sentence: str, status: int) -> HttpResponse:
    return message(request, "The invitation does not work", sentence, status=status,
                   link=settings.LOGIN_REDIRECT_URL, link_label="To your account")  # fmt: skip
