"""Ports for the processes of tests."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Final

from services.cli.system import SETTINGS

# What `lockstep up` listens on, as in the names of the settings.
NAMES: Final = (
    *map(str.upper, SETTINGS),
    "MAIL",
    *(f"{name.upper()}_METRICS" for name in SETTINGS),
)


def free_port(ip: str = "127.0.0.1") -> int:
    """Return a port that is free now."""
    with socket.socket() as listener:
        listener.bind((ip, 0))
        return int(listener.getsockname()[1])


def settings_of_ports() -> dict[str, str]:
    """Return a free port for everything, as environment variables."""
    with ExitStack() as stack:  # held together, so that no two are the same
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in NAMES]
        return {
            f"LOCKSTEP_{name}_PORT": str(listener.getsockname()[1])
            for name, listener in zip(NAMES, listeners, strict=True)
        }
