"""The yardstick of the audit log: an Auth that writes none.

python -m tests.bench.silent
"""

from __future__ import annotations

import asyncio

import uvloop

import services.auth.__main__ as auth_main
from services.auth.settings import AuthSettings
from services.common.settings import load
from services.kernel.audit import store
from services.kernel.audit.store import LaterEntry, NewEntry
from services.kernel.db.database import Transaction
from services.kernel.logging import configure


async def nothing(tx: Transaction, entry: NewEntry | LaterEntry) -> None:
    """Stand for the statements that add a line."""


async def serve() -> None:
    """Serve until killed."""
    configure(service="auth", form="console")
    store.insert = nothing
    store.insert_later = nothing
    async with auth_main.running(load(AuthSettings), listen_on="127.0.0.1:0") as process:
        print(f"PORT {process.port}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
