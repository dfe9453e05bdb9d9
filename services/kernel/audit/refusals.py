"""Refusals in the audit log: limits that were reached, and what callers may not do.

A refused request changes nothing, so the line has a transaction of its own. It is written once
a minute for event, caller, account and place. The caller waits for it, but not for long.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final
from uuid import UUID

import structlog

from services.kernel.audit import log as audit
from services.kernel.db.database import Database, Transaction, Work
from services.kernel.errors import (
    DatabaseUnavailable,
    DomainError,
    PermissionDenied,
    TooManyRequests,
)
from services.kernel.rpc.call import Call, Handler, Method
from services.kernel.rpc.client_ips import site_of
from services.kernel.secret import Secret

LIMIT_REACHED: Final = "excess_rate_limit_exceeded"
NOT_ALLOWED: Final = "authz_fail"

WAIT_SECONDS: Final = 0.25
AT_ONCE_MAX: Final = 4  # a flood of callers must not take the connections
REMEMBERED_MAX: Final = 10_000

log = structlog.get_logger("lockstep.audit")


class RefusalLog:
    """Writes refusals down.

    Args:
        database: The database of the audit log.
        secret: Makes the ids of the lines. Nobody else can make one from a client IP, so
            an id tells nothing when the address was taken out of its line.
    """

    def __init__(self, database: Database, secret: Secret) -> None:
        self._database = database
        self._secret = secret
        self._minute = 0
        self._known = set[UUID]()
        self._running = set[asyncio.Task[None]]()

    def layer(self, method: Method, handler: Handler) -> Handler:  # noqa: ARG002 - every layer takes both
        """Write down that a call was refused, and refuse it."""

        async def handle(call: Call) -> bytes:
            try:
                return await handler(call)
            except TooManyRequests as error:
                await self._note(call, LIMIT_REACHED, error, account=error.account)
                raise
            except PermissionDenied as error:
                await self._note(call, NOT_ALLOWED, error)
                raise

        return handle

    async def _note(
        self, call: Call, event: str, error: DomainError, *, account: str | None = None
    ) -> None:
        entry_id = self._new_entry(event, call, account)
        if entry_id is None or len(self._running) >= AT_ONCE_MAX:
            return
        self._known.add(entry_id)
        origin = call.origin

        async def write(tx: Transaction) -> None:
            await audit.write(
                tx,
                event,
                {"method": call.method.name, "reason": error.reason},
                account=account,
                entry_id=entry_id,
                **audit.by(origin),
            )

        task = asyncio.create_task(self._transact(f"{call.method.name}.refusal", write))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.wait([task], timeout=min(WAIT_SECONDS, max(0.0, call.remaining() / 2)))

    def _new_entry(self, event: str, call: Call, account: str | None) -> UUID | None:
        """Return the id of the line, or None when this process has written it."""
        minute = int(time.time() // 60)
        if minute != self._minute or len(self._known) >= REMEMBERED_MAX:
            self._minute = minute
            self._known.clear()
        origin = call.origin
        place = "" if origin.client_ip is None else site_of(origin.client_ip)
        parts = (event, call.method.path, origin.actor or "", account or "", place, str(minute))
        digest = self._secret.lasting_digest("\0".join(("refusal", *parts)).encode())
        entry_id = UUID(bytes=digest[:16], version=5)
        return None if entry_id in self._known else entry_id

    async def _transact(self, name: str, write: Work[None]) -> None:
        try:
            await self._database.transact(name, write)
        except DatabaseUnavailable:
            log.warning("a refusal is missing in the audit log", transaction=name)
        except Exception:
            log.exception("a refusal is missing in the audit log", transaction=name)
