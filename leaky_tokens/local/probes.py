"""Questions that tell whether a process works. Each is asked again and again until the answer is yes."""

import http.client
from collections.abc import Callable

from leaky_tokens.local import resp

ASK_SECONDS = 1.0


def answers(port: int, path: str) -> Callable[[], bool]:
    """Whether ``GET path`` on 127.0.0.1 is answered by 200."""

    def ask() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ASK_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ask


def beats(redis_url: str, key: str) -> Callable[[], bool]:
    """Whether a heartbeat lies in the cache under ``key``; whoever beats gives it a short time to live."""

    def ask() -> bool:
        try:
            return resp.ask(redis_url, "EXISTS", key, seconds=ASK_SECONDS) == b":1"
        except OSError:
            return False

    return ask
