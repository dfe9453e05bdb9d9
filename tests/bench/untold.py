"""A service in a process of its own, with its events or as it would be without any.

python -m tests.bench.untold commerce told|untold
"""

from __future__ import annotations

import importlib
import sys
from unittest import mock

import uvloop

from services.cli.system import SETTINGS
from services.common.settings import load
from services.kernel.db.database import Transaction
from services.kernel.events import writer
from services.kernel.events.sequencer import Sequencer
from services.kernel.events.store import NewEvents
from services.kernel.logging import configure
from services.kernel.signals import until_stopped


async def _nothing(tx: Transaction, events: NewEvents) -> None:
    """Write no events."""


async def _no_sequence(sequencer: Sequencer) -> int:
    """Give no number."""
    return 0


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
    service, kind = sys.argv[1:]
    if kind == "untold":
        with (
            mock.patch.object(writer, "insert_events", _nothing),
            mock.patch.object(Sequencer, "sequence", _no_sequence),
        ):
            uvloop.run(serve(service))
    else:
        uvloop.run(serve(service))


if __name__ == "__main__":
    main()
