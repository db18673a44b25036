"""All who can be measured, by name, and who is when nobody says."""

from collections.abc import Callable

from benchmarks import peers, subjects
from benchmarks.subjects import Site, Subject

SUBJECTS: dict[str, Callable[[Site], Subject]] = {
    "nginx": subjects.nginx_proxy,
    "gateway": subjects.gateway,
    "gateway-noop": subjects.gateway_noop,
    "floor": subjects.floor,
    "floor-asgi": subjects.floor_asgi,
    "litellm": peers.litellm,
    "portkey": peers.portkey,
}
DEFAULT = ("nginx", "gateway", "gateway-noop")
BASELINE = "nginx"
