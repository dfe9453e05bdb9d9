"""The three services as they run in production: a process each, on databases of one's choice."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from services.cli.health import is_serving
from tests.environment import variables, without_settings
from tests.ports import free_port

SERVICES: Final = ("auth", "profile", "commerce")
START_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 30.0
ROOT: Final = Path(__file__).parents[2]


class Fleet:
    """Auth, Profile and Commerce.

    Args:
        urls: The database of each service.
        folder: A folder for their logs.
        keys: The folder of their keys.
        settings: Further settings, by the names of the fields.
    """

    def __init__(
        self, urls: Mapping[str, str], *, folder: Path, keys: Path, settings: Mapping[str, str]
    ) -> None:
        self.ports = {name: free_port() for name in SERVICES}
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self._folder = folder
        own = {
            "home": str(folder / "home"),
            "keys": str(keys),
            "env": "test",
            "bcrypt_cost": "4",
            "address_limits": "off",
            "smtp_url": "smtp://127.0.0.1:1",
            **{f"{name}_database_url": url for name, url in urls.items()},
            **{f"{name}_port": str(port) for name, port in self.ports.items()},
            **{f"{name}_metrics_port": "0" for name in SERVICES},
        }
        self.environment = without_settings() | variables(**{**own, **settings})

    @property
    def targets(self) -> dict[str, str]:
        """The gRPC target of each service."""
        return {name: f"127.0.0.1:{port}" for name, port in self.ports.items()}

    def log(self, service: str) -> str:
        """Return what a service has logged."""
        return (self._folder / f"{service}.log").read_text(errors="replace")

    async def start(self, *services: str) -> None:
        """Start services, all when none is named, and wait until they are SERVING."""
        for name in services or SERVICES:
            with (self._folder / f"{name}.log").open("ab") as log:
                self.processes[name] = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", f"services.{name}"),
                    cwd=ROOT,
                    env=self.environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        async with asyncio.timeout(START_SECONDS_MAX):
            for name in services or SERVICES:
                while not await is_serving(self.targets[name]):
                    assert self.processes[name].returncode is None, self.log(name)[-2000:]
                    await asyncio.sleep(0.05)

    async def stop(self) -> dict[str, int | None]:
        """Stop all in order, by SIGTERM, and return their exit codes."""
        for process in self.processes.values():
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS_MAX):
                for process in self.processes.values():
                    await process.wait()
        finally:
            for process in self.processes.values():
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return {name: process.returncode for name, process in self.processes.items()}

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
