"""TCP ports on loopback: the ones we like, the ones we had, and the ones that the user insists on."""

import socket

from leaky_tokens.local.errors import RunFailed

PORT_OF = {
    "gateway": ("GATEWAY_PORT", 8080),
    "console": ("CONSOLE_PORT", 8000),
    "services": ("SERVICES_PORT", 8082),
    "stub-openai": ("STUB_OPENAI_PORT", 8093),
}
"""Process to the variable that sets its port, and the port it likes best."""


def free_port(*preferred: int) -> int:
    """The first of ``preferred`` where nothing listens, else one that the system chooses."""
    for candidate in (*preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")


def choose_port(variable: str, given: str, *, preferred: int, remembered: int) -> int:
    """A port for the process whose port the user sets with ``variable``.

    A ``given`` one (not empty, not 0) is taken or refused; otherwise the preferred one, then the one of the last run,
    then any. "0" asks for any at once, so that systems beside the developer's own leave the well-known ports alone.

    Raises:
        RunFailed: the given port is taken, or is no port.
    """
    if given and not (given.isdecimal() and int(given) < 65536):
        raise RunFailed(f"{variable}={given} is no port: give a number below 65536")
    insisted = int(given or 0)
    if not insisted:
        return free_port(remembered) if given else free_port(preferred, remembered)
    if free_port(insisted) != insisted:
        raise RunFailed(f"{variable}={given} is taken: end who listens there, or leave {variable} out")
    return insisted
