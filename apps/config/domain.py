"""Topics of configuration, and the message that tells gateways that one has changed.

A topic's version rises with every committed change. Messages may come late, twice, out of order or not at all, so a
reader keeps the highest version that it has seen and polls :func:`apps.config.api.versions` behind them.
"""

CHANNEL = "leaky:config"
"""Channel on the cache/broker Valkey on which changes are announced."""

CATALOGUE = "catalogue"
"""Providers, upstreams, models and prices."""

TIERS = "tiers"
"""Tiers and their limits."""

SIGNING_KEYS = "signing-keys"
"""The public keys that access tokens are verified with."""

LEDGER = "ledger"
"""The ledger's generation."""

CREDENTIALS = "credentials"
"""Whatever decides who a caller is: keys, users, memberships, organisations, assigned tiers."""


def change_message(topic: str, version: int) -> str:
    """The announcement of a topic's new version: ``<topic>:<version>``."""
    return f"{topic}:{version}"


def read_change(message: str) -> tuple[str, int]:
    """Topic and version of an announcement.

    Raises:
        ValueError: the message is not one of ours.
    """
    topic, separator, version = message.rpartition(":")
    if not separator or not topic:
        raise ValueError(f"not a change message: {message!r}")
    return topic, int(version)
