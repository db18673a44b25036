"""What a request says of who sends it: the one credential, and the organisation that is to pay. Both unchecked.

Sources: RFC 6750 section 2.1 (``Authorization: Bearer``); OpenAI API reference, "Authentication"
(``OpenAI-Organization``); Gemini API reference, "API keys" (``x-goog-api-key``).
"""

from uuid import UUID

from gateway.errors import ambiguous_credentials, unauthorized
from gateway.exchange import Exchange

KEY_PREFIX = "leaky_"
NO_ORGANISATION = UUID(int=0)
"""Nobody is a member of it: what a name that cannot be an organisation's id stands for."""

_IN_QUERY = ("key", "api_key", "api-key", "access_token")
_HEADERS = frozenset({b"authorization", b"x-api-key", b"x-goog-api-key"})
_MODEL_PATHS = "/v1/"


def presented_credential(exchange: Exchange) -> str:
    """The one credential of the request: a key or token as bearer, or a key in ``X-Api-Key`` or ``x-goog-api-key``.

    Raises:
        ApiError: 401 when there is none or it cannot be one, 400 when there are several, even equal ones.
    """
    sent = [pair for pair in exchange.headers if pair[0] in _HEADERS]
    if not sent:
        raise unauthorized(_where_to_put_it(exchange.query))
    if len(sent) > 1:
        raise ambiguous_credentials()
    name, value = sent[0]
    if name == b"authorization":
        scheme, _, value = value.partition(b" ")
        if scheme.lower() != b"bearer" or not value.strip():
            raise unauthorized()
        return _text(value)
    credential = _text(value)
    if not credential.startswith(KEY_PREFIX):  # Before any cache: a token seen as a bearer is none here.
        raise unauthorized()
    return credential


def named_organisation(exchange: Exchange) -> UUID | None:
    """The organisation that ``OpenAI-Organization`` asks to pay for a model call; None when it names none.

    The official SDK sends the header empty when its variable is set and empty.
    """
    if exchange.header(b"openai-organization") is None or not exchange.path.startswith(_MODEL_PATHS):
        return None
    named = {value.strip() for value in exchange.header_values(b"openai-organization")}
    if named == {b""}:
        return None
    try:
        (text,) = named
        return UUID(text.decode("ascii"))
    except ValueError:
        return NO_ORGANISATION


def _text(raw: bytes) -> str:
    try:
        return raw.strip().decode("ascii")
    except UnicodeDecodeError:
        raise unauthorized() from None


def _where_to_put_it(query: bytes) -> str:
    names = {part.partition(b"=")[0].lower().decode("latin-1") for part in query.split(b"&")}
    if names & set(_IN_QUERY):
        return "Send the API key in the header `Authorization: Bearer …`, never in the URL, where it would be logged."
    return "You didn't provide an API key. Send it in the header `Authorization: Bearer …`."
