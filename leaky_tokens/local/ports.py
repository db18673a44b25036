"""Free TCP ports on loopback."""

import socket


def free_port(preferred: int = 0) -> int:
    """``preferred`` when nothing listens there, else one that the system chooses."""
    for candidate in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")
