"""RELIABILITY.md §5.2 rows 86 to 94: what a provider does wrong, the client is told rightly and charged rightly."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import openai
import orjson
import pytest
from openai import OpenAI

from leaky_tokens.local.system import System
from tests.functional.booking import Booked, booked
from tests.functional.own_providers import Saying, known, provider_at, served
from tests.functional.payers import Oracle, Payer, open_payer
from tests.functional.refusing import row

MODEL = "gpt-4o-mini"
HELLO: Any = [{"role": "user", "content": "Say hello."}]
PROMPT = 10
"""Tokens of that prompt by OpenAI's rule: 3 for the message, 1 for its role, 3 for its text, 3 that prime the reply."""


RELEASED = Booked(0, "upstream_error", "none")


@dataclass(frozen=True, slots=True)
class Answered:
    """What the client is told, and the class in which the official SDK raises it."""

    status: int
    code: str
    retry: bool
    error: type[openai.APIStatusError] = openai.InternalServerError


BAD_KEY = Answered(502, "upstream_auth", retry=False)
OVERLOADED = Answered(503, "provider_overloaded", retry=True)
REFUSED = Answered(400, "provider_refused", retry=False, error=openai.BadRequestError)
FAILED = Answered(502, "upstream_error", retry=True)
NONSENSE = Answered(502, "bad_upstream_response", retry=True)

BEFORE_A_BYTE = [
    row(86, "401", "status=401", BAD_KEY),
    row(86, "403", "status=403", BAD_KEY),
    row(87, "429", "status=429", OVERLOADED),
    row(87, "529", "status=529", OVERLOADED),
    row(87, "503", "status=503", OVERLOADED),
    row(87, "429 in DashScope's words", "insufficient-quota", OVERLOADED),
    row(88, "400", "status=400", REFUSED),
    row(88, "422", "status=422", REFUSED),
    row(88, "500", "status=500", FAILED),
    row(89, "302", "redirect", FAILED),
    row(90, "web page", "html", NONSENSE),
    row(92, "reset before the head", "abort=0", NONSENSE),
    row(93, "gzip bomb", "gzip-bomb", NONSENSE),
    row(93, "no HTTP", "garbage", NONSENSE),
]
PLAIN_ONLY = [
    row(90, "broken JSON", "bad-json", NONSENSE),
    row(90, "empty object", "empty-object", NONSENSE),
    row(90, "empty object byte by byte", "empty-object, slow-bytes", NONSENSE),
    row(90, "no UTF-8", "invalid-utf8", NONSENSE),
    row(92, "half of the body", "truncate=1", NONSENSE),
    row(92, "reset within the body", "abort=1", NONSENSE),
    row(93, "body of 70 MB", "endless-line=70", NONSENSE),
]


@pytest.mark.parametrize(("fault", "due"), [*BEFORE_A_BYTE, *PLAIN_ONLY])
def test_a_plain_call_that_fails_costs_nothing(gateway_url: str, payer: Payer, fault: str, due: Answered) -> None:
    with pytest.raises(due.error) as raised:
        ask(gateway_url, payer, fault, stream=False)

    insist(raised.value, due)
    assert booked(payer) == RELEASED


@pytest.mark.parametrize(("fault", "due"), BEFORE_A_BYTE)
def test_a_stream_that_never_began_is_a_plain_error(
    gateway_url: str, payer: Payer, fault: str, due: Answered
) -> None:  # fmt: skip
    with pytest.raises(due.error) as raised:
        ask(gateway_url, payer, fault, stream=True)

    insist(raised.value, due)
    assert booked(payer) == RELEASED


def ask(gateway_url: str, payer: Payer, fault: str, *, stream: bool, model: str = MODEL) -> Any:
    """Call by the SDK, and read a stream to its end."""
    with OpenAI(base_url=f"{gateway_url}/v1", api_key=payer.key, max_retries=0) as client:
        answer: Any = client.chat.completions.create(
            model=model, messages=HELLO, max_tokens=20, stream=stream, extra_headers={"x-stub-fault": fault}
        )
        return list(answer) if stream else answer


def insist(raised: openai.APIStatusError, due: Answered) -> None:
    """The error that is due, in OpenAI's shape, without a word of our credential."""
    answer = raised.response
    assert (answer.status_code, raised.code) == (due.status, due.code)
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["x-should-retry"] == ("true" if due.retry else "false")
    assert answer.headers["x-request-id"]
    assert "sk-" not in answer.text
    assert ("retry-after" in answer.headers) == (due.status == 503)


def test_87_the_providers_patience_is_passed_on(gateway_url: str, payer: Payer) -> None:
    with pytest.raises(openai.InternalServerError) as raised:
        ask(gateway_url, payer, "status=429, retry-after=7", stream=False)

    assert raised.value.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("stream", [False, True])
def test_89_a_redirect_is_not_followed(gateway_url: str, payer: Payer, oracle: Oracle, stream: bool) -> None:
    before = oracle.calls()

    with pytest.raises(openai.InternalServerError):
        ask(gateway_url, payer, f"redirect={oracle.url}/v1/models", stream=stream)

    assert oracle.calls() == before + 1


def said_and_told(
    gateway_url: str, payer: Payer, fault: str, model: str = MODEL, chunk_delay_ms: int = 0
) -> tuple[int, list[Any]]:
    """A broken stream, read raw: pieces of text before the error, and the error events. It has no end of its own."""
    body = {"model": model, "messages": HELLO, "max_tokens": 20, "stream": True}
    orders = {"x-stub-fault": fault, "x-stub-chunk-delay-ms": str(chunk_delay_ms)}
    headers = {"authorization": f"Bearer {payer.key}", **orders}
    answer = httpx.post(f"{gateway_url}/v1/chat/completions", json=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    *events, rest = answer.text.split("\n\n")
    assert rest == ""
    assert "[DONE]" not in answer.text
    chunks = [orjson.loads(event.removeprefix("data: ")) for event in events]
    errors = [chunk["error"] for chunk in chunks if "error" in chunk]
    assert "error" in chunks[-1]
    return sum(bool(choice["delta"].get("content")) for c in chunks for choice in c.get("choices", ())), errors


@pytest.mark.parametrize(
    ("fault", "tokens"),
    [
        row(92, "ends after three tokens", "truncate=4", 3),
        row(92, "ends before its finish", "truncate=17", 16),
        row(92, "reset after three tokens", "abort=4", 3),
        row(92, "error after three tokens", "error-frame=4", 3),
        row(92, "no UTF-8", "invalid-utf8", None),
        row(93, "endless line after nothing", "endless-line=2", None),
        row(90, "broken JSON", "bad-json", None),
        row(90, "empty object", "empty-object", None),
    ],
)
def test_a_stream_that_breaks_ends_in_one_error_and_costs_what_came(
    gateway_url: str, payer: Payer, fault: str, tokens: int | None
) -> None:
    came, errors = said_and_told(gateway_url, payer, fault)

    assert [error["code"] for error in errors] == ["upstream_incomplete"]
    if tokens is None:
        assert came == 0
    else:
        assert came == tokens
    began = tokens is not None or fault == "invalid-utf8"
    assert booked(payer) == (Booked(PROMPT + came, "upstream_error", "counted") if began else RELEASED)


@pytest.mark.parametrize("fault", ["truncate=4", "abort=4", "error-frame=4", "bad-json", "endless-line=2"])
def test_the_sdk_raises_in_mid_stream(gateway_url: str, payer: Payer, fault: str) -> None:
    with pytest.raises(openai.APIError) as raised:
        ask(gateway_url, payer, fault, stream=True)

    assert raised.value.code == "upstream_incomplete"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "source"),
    [
        ("no-usage", "counted"),
        ("usage-negative", "counted"),
        ("usage-huge", "counted"),
        ("usage-string", "counted"),
        ("split=7", "provider"),
        ("no-content-length", "provider"),
    ],
)
def test_a_whole_answer_costs_what_was_generated(
    gateway_url: str, payer: Payer, oracle: Oracle, fault: str, source: str, stream: bool
) -> None:
    answer = raw(gateway_url, payer, fault, stream=stream)

    served = oracle.ending(answer.headers["x-request-id"])
    assert booked(payer) == Booked(served["prompt_tokens"] + served["tokens_generated"], "completed", source)


@pytest.mark.parametrize(
    "fault", ["crlf", "duplicate-done", "usage-twice", "usage-in-last-choice", "empty-deltas=20000"]
)
def test_a_strange_stream_is_passed_on_and_charged_by_its_usage(
    gateway_url: str, payer: Payer, oracle: Oracle, fault: str
) -> None:
    answer = raw(gateway_url, payer, fault, stream=True)

    assert answer.text.count("[DONE]") == 1
    assert "usage" not in answer.text
    assert '"finish_reason":"stop"' in answer.text
    served = oracle.ending(answer.headers["x-request-id"])
    assert booked(payer) == Booked(served["prompt_tokens"] + served["tokens_generated"], "completed", "provider")


def raw(gateway_url: str, payer: Payer, fault: str, *, stream: bool, tokens: int = 16, cap: int = 20) -> httpx.Response:
    body = {"model": MODEL, "messages": HELLO, "max_tokens": cap, "stream": stream}
    headers = {"authorization": f"Bearer {payer.key}", "x-stub-fault": fault, "x-stub-tokens": str(tokens)}
    answer = httpx.post(f"{gateway_url}/v1/chat/completions", json=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("fault", ["usage-negative", "usage-huge", "usage-string"])
def test_94_a_usage_that_is_not_believed_is_counted_for_the_alarm(gateway_url: str, payer: Payer, fault: str) -> None:
    before = untrusted(gateway_url)

    raw(gateway_url, payer, fault, stream=False)

    assert untrusted(gateway_url) == before + 1


def untrusted(gateway_url: str, provider: str = "openai") -> float:
    """The metric on which operators are alarmed."""
    lines = httpx.get(f"{gateway_url}/metrics").text.splitlines()
    name = f'leaky_untrusted_usage_total{{provider="{provider}"}} '
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


@pytest.mark.parametrize("stream", [False, True])
def test_a_usage_within_reason_is_the_providers_word(gateway_url: str, payer: Payer, stream: bool) -> None:
    raw(gateway_url, payer, "wrong-usage=3", stream=stream)

    assert booked(payer) == Booked(PROMPT + 3, "completed", "provider")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("tokens", "charged", "source"),
    [(15, PROMPT + 15, "provider"), (500, PROMPT + 10, "counted")],
    ids=["believed up to twice the cap", "beyond it bounded by the cap"],
)
def test_a_provider_that_ignores_the_cap(
    gateway_url: str, payer: Payer, tokens: int, charged: int, source: str, stream: bool
) -> None:
    raw(gateway_url, payer, "over-max", tokens=tokens, cap=10, stream=stream)

    assert booked(payer) == Booked(charged, "completed", source)


def test_the_house_bears_an_overrun_that_the_lease_cannot(gateway_url: str, payer: Payer) -> None:
    """The lease of so small an account is the call's bound: an overrun is no reason to ask for more."""
    poor = open_payer(tokens=PROMPT + 12)

    raw(gateway_url, poor, "over-max", tokens=15, cap=10, stream=False)

    assert booked(poor).charged == PROMPT + 10
    account = poor.balance()
    assert (account.available, account.leased, account.absorbed) == (2, 0, 5)


@pytest.fixture
def hurried(system: System, gateway_url: str, committed: None) -> Iterator[str]:
    """A provider that must begin its answer within 600 ms and end it within a second; model and payer know it."""
    with provider_at(str(system.facts["stubs"]["openai"]), first_byte_timeout_ms=600, deadline_ms=1000) as name:
        yield name


@pytest.mark.parametrize("stream", [False, True])
def test_91_a_provider_that_hangs_is_504_and_costs_nothing(gateway_url: str, hurried: str, stream: bool) -> None:
    payer = open_payer(tokens=1_000, provider=hurried)
    assert known(gateway_url, payer, hurried)

    with pytest.raises(openai.InternalServerError) as raised:
        ask(gateway_url, payer, "hang", stream=stream, model=hurried)

    insist(raised.value, Answered(504, "upstream_timeout", retry=True))
    assert booked(payer) == Booked(0, "timeout", "none")


def test_91_a_stream_that_stalls_is_cut(gateway_url: str, hurried: str) -> None:
    payer = open_payer(tokens=1_000, provider=hurried)
    assert known(gateway_url, payer, hurried)

    came, errors = said_and_told(gateway_url, payer, "stall=60000@4", model=hurried)

    assert (came, [error["code"] for error in errors]) == (3, ["upstream_timeout"])
    assert booked(payer) == Booked(PROMPT + 3, "timeout", "counted")


def test_91_a_stream_that_drags_is_cut_at_its_upstreams_deadline(gateway_url: str, hurried: str) -> None:
    payer = open_payer(tokens=1_000, provider=hurried)
    assert known(gateway_url, payer, hurried)

    came, errors = said_and_told(gateway_url, payer, "", model=hurried, chunk_delay_ms=150)

    assert 0 < came < 16
    assert [error["code"] for error in errors] == ["upstream_timeout"]
    assert booked(payer) == Booked(PROMPT + came, "timeout", "counted")


def call_of_one_that_says(gateway_url: str, saying: Saying, *, stream: bool) -> tuple[httpx.Response, Payer]:
    """One call of a provider that says this whatever it is asked."""
    with served(saying) as url, provider_at(url) as name:
        payer = open_payer(tokens=1_000, provider=name)
        assert known(gateway_url, payer, name)
        body = {"model": name, "messages": HELLO, "max_tokens": 20, "stream": stream}
        headers = {"authorization": f"Bearer {payer.key}"}
        return httpx.post(f"{gateway_url}/v1/chat/completions", json=body, headers=headers), payer


@pytest.mark.usefixtures("committed")
def test_88_a_refusal_that_reports_usage_is_charged_and_its_words_are_cleaned(gateway_url: str) -> None:
    refusal = {
        "error": {"message": "Filtered.\r\n\x1b[31m" + "x" * 9_000, "type": "invalid_request_error", "code": "filter"},
        "usage": {"prompt_tokens": PROMPT, "completion_tokens": 0},
    }

    answer, payer = call_of_one_that_says(gateway_url, Saying(400, orjson.dumps(refusal)), stream=False)

    message = answer.json()["error"]["message"]
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "provider_refused")
    assert "Filtered." in message
    assert message.isprintable()
    assert len(message) < 600
    assert booked(payer) == Booked(PROMPT, "upstream_error", "provider")


def events(*chunks: dict[str, Any]) -> bytes:
    """A stream with its proper end."""
    return b"".join(b"data: %b\n\n" % orjson.dumps(chunk) for chunk in chunks) + b"data: [DONE]\n\n"


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize(
    ("second", "due"),
    [(7, Booked(PROMPT + 1, "completed", "counted")), (5, Booked(PROMPT + 5, "completed", "provider"))],
    ids=["contradictory", "the same"],
)
def test_94_two_totals_are_believed_only_if_they_agree(gateway_url: str, second: int, due: Booked) -> None:
    said = {"choices": [{"index": 0, "delta": {"content": " hello"}, "finish_reason": "stop"}]}
    totals = [{"prompt_tokens": PROMPT, "completion_tokens": output} for output in (5, second)]
    stream = events(said, *({"choices": [], "usage": total} for total in totals))

    answer, payer = call_of_one_that_says(gateway_url, Saying(200, stream, "text/event-stream"), stream=True)

    assert answer.text.endswith("data: [DONE]\n\n")
    assert booked(payer) == due


@pytest.mark.usefixtures("committed")
def test_a_growing_usage_counts_by_its_last(gateway_url: str) -> None:
    said = [
        {
            "choices": [{"index": 0, "delta": {"content": " hello"}}],
            "usage": {"prompt_tokens": PROMPT, "completion_tokens": output},
        }
        for output in (1, 2)
    ]

    answer, payer = call_of_one_that_says(gateway_url, Saying(200, events(*said), "text/event-stream"), stream=True)

    assert "usage" not in answer.text
    assert booked(payer) == Booked(PROMPT + 2, "completed", "provider")


@pytest.mark.usefixtures("committed")
def test_a_provider_that_nobody_answers_for_is_503_and_costs_nothing(gateway_url: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with provider_at(f"http://127.0.0.1:{closed.getsockname()[1]}") as name:
            payer = open_payer(tokens=1_000, provider=name)
            assert known(gateway_url, payer, name)
            with pytest.raises(openai.InternalServerError) as raised:
                ask(gateway_url, payer, "no-usage", stream=False, model=name)

    insist(raised.value, Answered(503, "provider_unreachable", retry=True))
    assert booked(payer) == RELEASED


@pytest.mark.long
def test_93_empty_deltas_without_end_are_cut_at_the_cap_of_a_body(gateway_url: str, payer: Payer) -> None:
    """A million of them are some 240 MB; 64 MiB of an answer are read."""
    came, errors = said_and_told(gateway_url, payer, "empty-deltas=1000000")

    assert (came, [error["code"] for error in errors]) == (0, ["upstream_incomplete"])
    assert booked(payer) == Booked(PROMPT, "upstream_error", "counted")
