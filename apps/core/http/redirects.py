"""Where a browser may be sent: after signing in only to pages of ours, by a form only where its policy says."""

from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme

NEXT = "next"
"""Name of the query parameter and form field that says where to go on after signing in."""


def local_target(wanted: str, default: str) -> str:
    """``wanted`` if it is a path of ours with its query, else ``default``. No host is ever good, not even ours."""
    is_path = wanted.startswith("/") and "\\" not in wanted and wanted.isprintable()
    return wanted if is_path and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None) else default


def wanted_target(request: HttpRequest, default: str) -> str:
    """Where the request asks to go on, if that is ours, else ``default``."""
    return local_target(request.POST.get(NEXT) or request.GET.get(NEXT, ""), default)


def see_other(target: str) -> HttpResponseRedirect:
    """303: the browser fetches ``target`` with GET and does not send the form there again."""
    return HttpResponseRedirect(target, status=303)


def forms_may_lead_to(response: HttpResponse, *uris: str) -> None:
    """Let forms of this page end at ``uris`` too: browsers hold redirects after a form against ``form-action``."""
    sources = sorted({source for source in map(_source, uris) if source})
    response._csp_update = {"form-action": sources}  # type: ignore[attr-defined]  # noqa: SLF001 (django-csp's own way)


def _source(uri: str) -> str:
    """The policy's name of where ``uri`` leads: an origin, or the scheme of an application on the user's device."""
    parts = urlsplit(uri)
    if any(character in uri for character in ";, \t\r\n"):
        return ""
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in {"http", "https"} else f"{parts.scheme}:"
