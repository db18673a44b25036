"""The account's pages: nobody is led away, nobody learns who exists, nobody touches what is somebody else's."""

import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import AccessToken, RefreshToken

from apps.accounts import mail
from apps.accounts.api import Visitor, end_session, find_access, open_session, open_user
from apps.accounts.connections import redirect_uris_of
from apps.accounts.domain import AccessClaims
from apps.accounts.models import Application, Session, User
from apps.accounts.pages.answers import duration
from apps.accounts.pages.devices import device_of
from apps.audit.models import Entry
from apps.core.errors import InvalidCredential
from apps.core.http.caller import ANONYMOUS, Caller
from apps.core.http.internal_token import issue
from apps.core.http.redirects import forms_may_lead_to
from tests.integration.accounts.through_gateway import KEY

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.accounts.page_urls")]

PASSWORD = "a long enough password"

LEADING_AWAY = (
    "//evil.com", "///evil.com", "////evil.com", "/\\evil.com", "\\\\evil.com", "\\/evil.com", "/\\/evil.com",
    "https:evil.com", "https:/evil.com", "https://evil.com", "HTTPS://evil.com", "hTtP:evil.com", "http:///evil.com",
    "https://testserver@evil.com", "https://testserver:80@evil.com", "//testserver@evil.com", "https://evil.com#/account",
    "https://evil.com/account", "https://evil.com:443", "https://testserver.evil.com", "https://testserver",
    "http://testserver/account", "//testserver/account", "javascript:alert(1)", "JavaScript:alert(1)",
    "data:text/html,x", "vbscript:x", "mailto:a@evil.com", "file:///etc/passwd", "evil.com", "evil.com/account",
    "../evil.com", "./evil.com", "@evil.com", "?next=//evil.com", "#//evil.com", " //evil.com", "\t//evil.com",
    "/\t/evil.com", "/\n/evil.com", "/\r\nLocation: https://evil.com", "/\0/evil.com", "%2f%2fevil.com",
    "https%3a%2f%2fevil.com", "//ev\u0456l.com", "//xn--evl-lza.com", "/\u2028/evil.com", "\u200b//evil.com",
)  # fmt: skip
"""Where nobody may be sent after signing in. Those that begin with one slash have a character that browsers drop."""

OURS = (
    "/account",
    "/oauth2/authorize?client_id=a&redirect_uri=https%3A%2F%2Fapp.example%2Fcb",
    "/%2f%2fevil.com",
    "/a/..",
)


@pytest.fixture
def person() -> User:
    return open_user("person", "person@example.test", PASSWORD)


@pytest.fixture
def signed_in(client: Client, person: User) -> Client:
    assert sign_in(client).status_code == 303
    return client


def sign_in(client: Client, name: str = "person", password: str = PASSWORD, **extra: str) -> HttpResponse:
    """Send the form; ``extra`` are headers."""
    form = {"username": name, "password": password}
    return client.post(f"/account/sign-in{extra.pop('query', '')}", form, headers=extra)


def texts(response: HttpResponse) -> str:
    return response.content.decode()


def without_token(response: HttpResponse) -> str:
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", texts(response))


@pytest.mark.parametrize("target", LEADING_AWAY)
def test_nobody_is_led_away_after_signing_in(client: Client, person: User, target: str) -> None:
    form = {"username": "person", "password": PASSWORD}

    by_address = client.post("/account/sign-in", form, query_params={"next": target})
    by_form = Client().post("/account/sign-in", form | {"next": target})

    assert [answer.status_code for answer in (by_address, by_form)] == [303, 303]
    assert [answer["Location"] for answer in (by_address, by_form)] == ["/account", "/account"]


@pytest.mark.parametrize("target", OURS)
def test_a_page_of_ours_is_where_one_goes_on(client: Client, person: User, target: str) -> None:
    form = {"username": "person", "password": PASSWORD}

    assert client.post("/account/sign-in", form, query_params={"next": target})["Location"] == target


def test_the_cases_are_at_least_forty() -> None:
    assert len(set(LEADING_AWAY)) == len(LEADING_AWAY) >= 40


def test_whoever_must_sign_in_comes_back(client: Client, person: User) -> None:
    asked = client.get("/account?tab=1")

    assert asked["Location"] == "/account/sign-in?next=/account%3Ftab%3D1"
    page = texts(client.get(asked["Location"]))
    assert 'href="/account/sign-up?next=%2Faccount%3Ftab%3D1"' in page


def test_unknown_name_wrong_password_inactive_and_service_account_read_the_same(client: Client, person: User) -> None:
    User.objects.create_user("asleep", "asleep@example.test", PASSWORD, is_active=False)
    User.objects.create_user("robot00", "robot@example.test", PASSWORD, kind=User.Kind.SERVICE)

    answers = {
        without_token(sign_in(Client(), name, password)).replace(name, "")
        for name, password in (("nobody", PASSWORD), ("person", "wrong"), ("asleep", PASSWORD), ("robot00", PASSWORD))
    }

    assert len(answers) == 1
    assert "The username or the password is not right." in answers.pop()


def test_guessing_is_stopped_with_the_time_to_wait(client: Client, person: User) -> None:
    statuses = [
        sign_in(client, password=f"wrong {number}").status_code for number in range(settings.AXES_FAILURE_LIMIT)
    ]
    locked = sign_in(client)

    assert statuses[:-1] == [400] * (settings.AXES_FAILURE_LIMIT - 1)
    assert locked.status_code == 429
    assert 50 <= int(locked["Retry-After"]) <= 60
    assert f"Please wait {locked['Retry-After']} seconds, then try again." in texts(locked)
    assert "_auth_user_id" not in client.session


def test_signing_in_changes_the_cookie_and_says_from_where(client: Client, person: User) -> None:
    session = client.session
    session["planted"] = "yes"
    session.save()
    before = session.session_key
    vouched = issue(Caller(ANONYMOUS, ip="203.0.113.9"), settings.SERVICES[0], KEY, "req_1")

    sign_in(client, **{"X-Leaky-Identity": vouched, "User-Agent": "Firefox/140.0 (X11; Linux)"})

    assert client.session.session_key != before
    row = Session.objects.get(user=person)
    assert (row.kind, row.ip, row.user_agent) == ("browser", "203.0.113.9", "Firefox/140.0 (X11; Linux)")


@pytest.mark.parametrize("forged", ["", "a.b.c", "eyJhbGciOiJub25lIn0.eyJpcCI6IjEuMS4xLjEifQ."])
def test_an_address_that_nobody_vouches_for_is_not_believed(client: Client, person: User, forged: str) -> None:
    sign_in(client, **{"X-Leaky-Identity": forged, "X-Forwarded-For": "203.0.113.9"})

    assert Session.objects.get(user=person).ip == "127.0.0.1"


def test_a_form_without_its_token_does_nothing(person: User) -> None:
    client = Client(enforce_csrf_checks=True)

    refused = sign_in(client)

    assert refused.status_code == 403
    assert "The form was not accepted" in texts(refused)
    assert not Session.objects.filter(user=person).exists()


@pytest.mark.parametrize("path", ["/account/sign-out", "/account/verify?token=x", "/account/reset?token=x"])
@pytest.mark.parametrize("method", ["get", "head"])
def test_looking_changes_nothing(signed_in: Client, person: User, path: str, method: str) -> None:
    assert getattr(signed_in, method)(path).status_code == 200
    assert signed_in.get("/account").status_code == 200
    assert Session.objects.filter(user=person, ended_at=None).count() == 1


@pytest.mark.parametrize(
    "path", ["/resend", "/sessions/end", f"/sessions/{UUID(int=1)}/end", "/applications/a/disconnect"]
)
def test_what_changes_something_is_posted_by_somebody(client: Client, signed_in: Client, path: str) -> None:
    assert signed_in.get(f"/account{path}").status_code == 405
    assert Client().post(f"/account{path}")["Location"] == "/account/sign-in?next=/account"


def test_signing_out_ends_the_session(signed_in: Client, person: User) -> None:
    answer = signed_in.post("/account/sign-out")

    assert "You are signed out" in texts(answer)
    assert signed_in.get("/account").status_code == 302
    assert not Session.objects.filter(user=person, ended_at=None).exists()


def test_sessions_are_listed_and_ended_one_by_one(signed_in: Client, person: User) -> None:
    other = Client()
    sign_in(other, **{"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0) Version/19.0 Safari/605.1"})
    row = Session.objects.filter(user=person).latest("created_at")
    assert "Safari on iPhone" in texts(signed_in.get("/account"))

    assert signed_in.post(f"/account/sessions/{row.pk}/end")["Location"] == "/account"

    assert other.get("/account").status_code == 302
    page = texts(signed_in.get("/account"))
    assert "Safari on iPhone" not in page
    assert "this one" in page


def test_another_persons_session_is_not_there(signed_in: Client, person: User) -> None:
    stranger = open_user("stranger", "stranger@example.test", PASSWORD)
    theirs = open_session(stranger, Session.Kind.BROWSER, Visitor())

    answers = [signed_in.post(f"/account/sessions/{one}/end") for one in (theirs.pk, uuid4())]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert without_token(answers[0]) == without_token(answers[1])
    assert end_session(stranger.pk, theirs.pk), "it was still open"


def test_signing_out_everywhere(signed_in: Client, person: User) -> None:
    other = Client()
    sign_in(other)

    signed_in.post("/account/sessions/end")

    assert [one.get("/account").status_code for one in (signed_in, other)] == [302, 302]
    assert User.objects.get(pk=person.pk).token_version == person.token_version + 1


def test_a_changed_password_keeps_this_session_alone(signed_in: Client, person: User) -> None:
    other = Client()
    sign_in(other)
    form = {"current_password": PASSWORD, "new_password": "quite another one", "again": "quite another one"}

    wrong = signed_in.post("/account/password", form | {"current_password": "wrong"})
    differs = signed_in.post("/account/password", form | {"again": "else"})
    changed = signed_in.post("/account/password", form)

    assert (wrong.status_code, differs.status_code, changed.status_code) == (400, 400, 303)
    assert 'id="id_current_password_error"' in texts(wrong)
    assert "The two passwords are not the same." in texts(differs)
    assert [one.get("/account").status_code for one in (signed_in, other)] == [200, 302]
    assert sign_in(Client(), password="quite another one").status_code == 303


def test_an_account_is_made_and_signed_in(client: Client) -> None:
    form = {"username": "newcomer", "email": "New@Example.test", "new_password": PASSWORD, "again": PASSWORD}

    made = client.post("/account/sign-up", form)
    again = Client().post("/account/sign-up", form)

    assert made.status_code == 303
    assert "new@example.test" in texts(client.get("/account"))
    assert again.status_code == 400
    assert "Username already exists." in texts(again)


@pytest.mark.parametrize("field", ["username", "email", "new_password", "again"])
@pytest.mark.parametrize("text", ["", "\0", "a\0b", "\u202egnp.exe", "x" * 10_000, "<script>alert(1)</script>"])
def test_whatever_is_entered_is_answered(client: Client, field: str, text: str) -> None:
    form = {"username": "newcomer", "email": "new@example.test", "new_password": PASSWORD, "again": PASSWORD}

    answer = client.post("/account/sign-up", form | {field: text})
    signing_in = sign_in(Client(), name=text, password=text)

    assert answer.status_code in {303, 400}
    assert signing_in.status_code == 400
    assert "<script>alert" not in texts(answer) + texts(signing_in)


def test_forgetting_says_the_same_of_everybody(client: Client, person: User) -> None:
    answers = {
        without_token(client.post("/account/forgot", {"email": email}))
        for email in ("person@example.test", "nobody@example.test")
    }

    assert len(answers) == 1


def test_a_link_sets_a_new_password_once(client: Client, person: User) -> None:
    link = f"/account/reset?token={mail.token_for(mail.RESET, person)}"
    form = {"new_password": "quite another one", "again": "quite another one"}

    short = client.post(link, {"new_password": "short", "again": "short"})
    changed, again = client.post(link, form), client.post(link, form)

    assert (short.status_code, changed.status_code, again.status_code) == (400, 200, 400)
    assert "The link does not work" in texts(again)
    assert sign_in(client, password="quite another one").status_code == 303


def test_a_link_confirms_the_address_once_it_is_pressed(client: Client, person: User) -> None:
    link = f"/account/verify?token={mail.token_for(mail.VERIFY, person)}"

    confirmed, again = client.post(link), client.post(link)

    assert (confirmed.status_code, again.status_code) == (200, 400)
    assert User.objects.get(pk=person.pk).email_verified_at is not None


def connect(user: User, name: str) -> tuple[Application, AccessToken]:
    """An application that holds tokens of ``user``'s."""
    client = Application.objects.create(
        name=name, client_type="confidential", authorization_grant_type="authorization-code",
        redirect_uris="https://app.example/cb https://app.example/other",
    )  # fmt: skip
    hour = timezone.now() + timedelta(hours=1)
    access = AccessToken.objects.create(
        user=user, application=client, token=uuid4().hex, expires=hour, scope="inference openid"
    )
    RefreshToken.objects.create(user=user, application=client, token=uuid4().hex, access_token=access)
    return client, access


def claims_of(access: AccessToken, client: Application, user: User) -> AccessClaims:
    return AccessClaims(
        "oauth2", user.pk, user.token_version, access.expires, frozenset({"inference"}), access.token_checksum, "j",
        client_id=client.client_id,
    )  # fmt: skip


def test_an_application_is_disconnected_for_its_person_only(signed_in: Client, person: User) -> None:
    stranger = open_user("stranger", "stranger@example.test", PASSWORD)
    client, access = connect(person, "Robot kitchen")
    theirs, their_access = connect(stranger, "Foreign affairs")
    page = texts(signed_in.get("/account"))
    assert "Robot kitchen" in page
    assert "Call models and pay for the calls" in page
    assert "Foreign affairs" not in page

    foreign = signed_in.post(f"/account/applications/{theirs.client_id}/disconnect")
    own = signed_in.post(f"/account/applications/{client.client_id}/disconnect")

    assert (foreign.status_code, own.status_code) == (404, 303)
    assert "No application acts for you." in texts(signed_in.get("/account"))
    assert find_access(claims_of(their_access, theirs, stranger)).client_id == theirs.client_id
    with pytest.raises(InvalidCredential):
        find_access(claims_of(access, client, person))
    assert not RefreshToken.objects.filter(user=person, revoked=None).exists()
    entry = Entry.objects.get(action="consent.withdrawn")
    assert (entry.subject_id, entry.actor_id, entry.ip) == (client.client_id, str(person.pk), "127.0.0.1")


def test_browsers_are_told_to_take_nothing_from_elsewhere(signed_in: Client) -> None:
    page, console = signed_in.get("/account"), signed_in.get("/admin/")

    policy = dict(part.split(" ", 1) for part in page["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'none'", "style-src": "'self'", "img-src": "'self' data:", "form-action": "'self'",
        "frame-ancestors": "'none'", "base-uri": "'none'",
    }  # fmt: skip
    assert "'unsafe-eval'" in console["Content-Security-Policy"]
    assert not [name for answer in (page, console) for name in answer.headers if "report-only" in name.lower()]
    assert page["Permissions-Policy"] == "geolocation=(), microphone=(), camera=()"
    assert page["Referrer-Policy"] == "same-origin"
    assert "no-store" in page["Cache-Control"]
    assert not re.search(r"<script|style=|https?://(?!www\.w3\.org)", texts(page))


def test_signing_in_for_an_application_may_end_there(client: Client, person: User) -> None:
    application, _access = connect(person, "Robot kitchen")
    query = {"next": f"/oauth2/authorize?client_id={application.client_id}"}

    policy = client.get("/account/sign-in", query)["Content-Security-Policy"]

    assert "form-action 'self' https://app.example;" in f"{policy};"
    assert redirect_uris_of("unknown") == []


def test_forms_lead_to_origins_and_to_schemes_of_devices() -> None:
    answer = HttpResponse()

    forms_may_lead_to(
        answer, "https://app.example/cb?x=1", "http://127.0.0.1:9/cb", "com.app:/cb", "https://a;b/", "x y:"
    )

    assert answer._csp_update["form-action"] == ["com.app:", "http://127.0.0.1:9", "https://app.example"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["/nothing", "/sessions", "/", "/sign-in/x", "/%00", "/sessions/1/end"])
def test_addresses_that_nobody_has_are_explained(client: Client, path: str) -> None:
    answer = client.get(f"/account{path}")

    assert answer.status_code == 404
    assert "There is nothing here" in texts(answer)


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) Safari/605.1", "Safari on macOS"),
        ("Mozilla/5.0 (Linux; Android 16) Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.9", "curl"), ("", "Unknown device"), ("<script>", "Unknown device"),
    ],
)  # fmt: skip
def test_devices_have_names_that_people_know(user_agent: str, device: str) -> None:
    assert device_of(user_agent) == device


@pytest.mark.parametrize(
    ("seconds", "words"), [(1, "1 second"), (60, "60 seconds"), (91, "2 minutes"), (3600, "60 minutes")]
)
def test_times_to_wait_are_spoken(seconds: int, words: str) -> None:
    assert duration(seconds) == words
