"""Notices that a server has failed over: the timeline of its WAL is another one."""

import asyncio
from collections.abc import Sequence
from typing import Final

import psycopg

from services.cli.databases import connect

POLL_SECONDS: Final = 5.0
_TIMELINE: Final = """
SELECT CASE WHEN pg_is_in_recovery() THEN NULL
            ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END
"""


class Watch:
    """Watches the timelines of databases."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls
        self._known: dict[str, str] = {}

    async def until_failover(self, stopped: asyncio.Task[None], seconds: float) -> bool:
        """Wait for a time, or until a stop, or until a server has failed over: then True."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + seconds
        while True:
            if await asyncio.to_thread(self.has_moved):
                return True
            left = ends_at - loop.time()
            if left <= 0 or stopped.done():
                return False
            await asyncio.wait([stopped], timeout=min(left, POLL_SECONDS))

    def has_moved(self) -> bool:
        """Return whether a server has failed over since it was last asked."""
        moved = [self._moved(url) for url in self._urls]
        return any(moved)

    def _moved(self, url: str) -> bool:
        try:
            with connect(url) as connection:
                row = connection.execute(_TIMELINE).fetchone()
        except psycopg.OperationalError:
            return False  # it is away, and may come back as another
        if row is None or row[0] is None:
            return False
        known = self._known.get(url)
        self._known[url] = row[0]
        return known is not None and known != row[0]
