"""Keep what is served up to date: upstreams that come late, and descriptors that change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from lockstep_gateway.binding.descriptors import DescriptorError
from lockstep_gateway.discovery.sources import Found, Source
from lockstep_gateway.http.app import Gateway
from lockstep_gateway.http.switch import Switch
from lockstep_gateway.http.upstream import UpstreamError

PAUSE_SECONDS: Final = 0.5
PAUSE_SECONDS_MAX: Final = 10.0

log = structlog.get_logger("gateway")

Build = Callable[[Found], Gateway]
"""Builds a gateway. Raises DescriptorError or UpstreamError."""


class Updater:
    """Ask for what is served while something is missing, and when `ask_anew` is called.

    Args:
        source: Tells what can be served.
        build: Builds a gateway from that.
    """

    def __init__(self, source: Source, build: Build) -> None:
        self._source = source
        self._build = build
        self._hangup = asyncio.Event()
        self._waiting: Mapping[str, str] = {}

    def ask_anew(self) -> None:
        """Ask again for everything, soon."""
        self._hangup.set()

    async def first(self) -> Switch:
        """Return the first gateway; it serves what is found by now.

        Raises:
            DescriptorError: The descriptors cannot be served.
            UpstreamError: A target is malformed.
        """
        found = await self._source.find()
        gateway = self._build(found)
        self._tell(found.waiting)
        return Switch(gateway, self.ask_anew)

    async def run(self, switch: Switch) -> None:
        """Update the gateway until this is cancelled."""
        pause = PAUSE_SECONDS
        while True:
            anew = await self._wait(pause if self._waiting else None)
            pause = PAUSE_SECONDS if anew else min(2 * pause, PAUSE_SECONDS_MAX)
            before = self._waiting
            try:
                found = await self._source.find(anew=anew)
                if anew or found.waiting.keys() != before.keys():
                    await self._turn(switch, found)
            except (DescriptorError, UpstreamError) as error:
                log.error("change refused", reason=str(error))  # noqa: TRY400 - no bug
                continue
            self._tell(found.waiting)
            switch.health.waiting = found.waiting

    async def _wait(self, seconds: float | None) -> bool:
        """Wait for the call of `ask_anew`, or for the time; return which it was."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hangup.wait()
        anew = self._hangup.is_set()
        self._hangup.clear()
        return anew

    async def _turn(self, switch: Switch, found: Found) -> None:
        gateway = await asyncio.to_thread(self._build, found)
        await gateway.channels.health()  # They connect before the first call needs them.
        switch.turn(gateway)
        log.info("serving anew", services=len(found.upstreams))

    def _tell(self, waiting: Mapping[str, str]) -> None:
        for name, reason in waiting.items():
            if self._waiting.get(name) != reason:
                log.warning("upstream not served", upstream=name, reason=reason)
        self._waiting = waiting
