"""Whose address a request comes from: the peer's, unless the peer is a proxy of ours that tells us.

``X-Forwarded-For`` is read from the right. Each proxy appends the address that it saw itself, so what stands to the
left of the first address that is not ours was written by somebody we do not know.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from gateway import settings

Network = IPv4Network | IPv6Network

TRUSTED_PROXIES = tuple(ip_network(network) for network in settings.TRUSTED_PROXIES)


def client_address(peer: str, forwarded: Sequence[bytes], trusted: Sequence[Network]) -> str:
    """The client's address. ``forwarded`` holds the values of ``X-Forwarded-For``, in the order of arrival.

    A header that cannot be read as far as it matters counts for nothing.
    """
    nearest = _address(peer)
    if nearest is None:
        return peer
    client = nearest
    for text in reversed(b",".join(forwarded).decode("latin-1").split(",") if forwarded else []):
        if not _is_in(client, trusted):
            break
        said = _address(text.strip())
        if said is None:
            return str(nearest)
        client = said
    return str(client)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address without a zone, which may hold anything; IPv4 as itself, also when it comes in IPv6's clothes."""
    try:
        address = ip_address(text) if "%" not in text else None
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_in(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
