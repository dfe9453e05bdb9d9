"""A service in a process of its own: whole, or without a part, to measure what that part costs.

python -m tests.bench.without auth|profile|commerce nothing|audit|events
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Final
from unittest import mock

import uvloop

from services.cli.system import SETTINGS
from services.common.settings import load
from services.kernel.audit import store as audit
from services.kernel.events import writer as events
from services.kernel.events.sequencer import Sequencer
from services.kernel.logging import configure
from services.kernel.signals import until_stopped


async def _nothing(*_: object) -> None:
    """Stand for a statement that writes."""


async def _no_sequence(_: Sequencer) -> int:
    """Give no number."""
    return 0


# By the part that the service goes without: what is replaced, and by what.
PARTS: Final[Mapping[str, Mapping[tuple[Any, str], Any]]] = {
    "nothing": {},
    "audit": {(audit, "insert"): _nothing, (audit, "insert_later"): _nothing},
    "events": {(events, "insert_events"): _nothing, (Sequencer, "sequence"): _no_sequence},
}


async def serve(service: str) -> None:
    """Serve on any port."""
    settings = load(SETTINGS[service])
    configure(service=service, level=settings.log_level, form=settings.log_format)
    running = importlib.import_module(f"services.{service}.__main__").running
    async with running(settings, listen_on="127.0.0.1:0") as found:
        print(f"PORT {found.port}", flush=True)
        await until_stopped()


def main() -> None:
    """Run the process."""
    service, part = sys.argv[1:]
    with ExitStack() as stack:
        for (owner, name), instead in PARTS[part].items():
            stack.enter_context(mock.patch.object(owner, name, instead))
        uvloop.run(serve(service))


if __name__ == "__main__":
    main()
