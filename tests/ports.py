"""Ports for the processes of tests."""

from __future__ import annotations

import errno
import random
import socket
from contextlib import ExitStack
from typing import Final

from services.cli.system import SETTINGS

# What `lockstep up` listens on, as in the names of the settings.
NAMES: Final = (
    *map(str.upper, SETTINGS),
    "MAIL",
    "PAGE",
    *(f"{name.upper()}_METRICS" for name in SETTINGS),
)


# Below the ports that a system gives to connections (Linux: from 32768): one of those could be
# taken before the process that is to listen there has started.
PORTS: Final = range(15_000, 32_000)
# Seeded by nothing, so that tests that run at once draw different ports.
_RANDOM: Final = random.SystemRandom()


def free_port(ip: str = "127.0.0.1") -> int:
    """Return a port that is free now."""
    return free_ports(1, ip)[0]


def free_ports(number: int, ip: str = "127.0.0.1") -> list[int]:
    """Return ports that are free now, all different."""
    with ExitStack() as stack:  # held together, so that no two are the same
        listeners = [stack.enter_context(_bound(ip)) for _ in range(number)]
        return [int(listener.getsockname()[1]) for listener in listeners]


def _bound(ip: str) -> socket.socket:
    while True:
        listener = socket.socket()
        try:
            listener.bind((ip, _RANDOM.choice(PORTS)))
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return listener


def settings_of_ports() -> dict[str, str]:
    """Return a free port for everything, as environment variables."""
    ports = free_ports(len(NAMES))
    return {f"LOCKSTEP_{name}_PORT": str(port) for name, port in zip(NAMES, ports, strict=True)}
