"""A whole Lockstep of replicas: gateways behind Envoy, Auth, Profile and Commerce by name.

Everything is a process with an address of its own, all on one PostgreSQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.cli.health import is_serving
from tests.deploy.edge import Edge, edge
from tests.environment import variables
from tests.ports import free_port
from tests.replicas.names import NameServer, name_server
from tests.replicas.world import ROOT, START_SECONDS_MAX, own_network, running

SERVICES: Final = ("auth", "profile", "commerce")
KINDS: Final = ("gateway", *SERVICES)
# What a call leaves in the log; probes leave nothing like it.
MARKS: Final[Mapping[str, bytes]] = {
    "gateway": b'"route": "/v1/',
    **dict.fromkeys(SERVICES, b'"method": "/lockstep.'),
}
STOP_DELAY_SECONDS: Final = "5"
STOP_SECONDS_MAX: Final = 60.0
SHARE_LEAST: Final = 0.5
"""A replica has its share when it gets half as many calls as it would if all got the same."""
WINDOW_CALLS: Final = 40
"""Over fewer calls a share says nothing."""


@dataclass(frozen=True, slots=True)
class Code:
    """A checkout whose processes can run.

    Attributes:
        python: The Python of its environment.
        folder: The checkout.
        keys: A folder of keys in its form.
    """

    keys: Path
    python: str = sys.executable
    folder: Path = ROOT


@dataclass
class Replica:
    """A process of a kind."""

    kind: str
    ip: str
    process: asyncio.subprocess.Process
    log: Path
    _read: int = 0
    _calls: int = 0

    @property
    def calls(self) -> int:
        """The number of calls that it has logged."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            lines = file.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read += len(whole)
        self._calls += whole.count(MARKS[self.kind])
        return self._calls

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self.process.send_signal(number)

    async def ends(self) -> int:
        """Wait until the process has ended, and return its code."""
        async with asyncio.timeout(STOP_SECONDS_MAX):
            return await self.process.wait()


@dataclass
class Town:
    """All replicas.

    Attributes:
        names: Knows the replicas of each kind, for all who call them.
        members: The replicas by kind, the oldest first.
        gone: Those that were killed or have left.
    """

    names: NameServer
    folder: Path
    settings: Mapping[str, str]
    ports: Mapping[str, int]
    stack: AsyncExitStack
    network: str
    edge: Edge = field(init=False)
    members: dict[str, list[Replica]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    gone: list[Replica] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(11))

    async def add(self, kind: str, code: Code) -> Replica:
        """Run one more replica, and let others know its name once it is SERVING."""
        ip = f"{self.network}.{next(self._numbers)}"
        log = self.folder / f"{kind}-{ip}.log"
        own = variables(host=ip, keys=str(code.keys))
        process = await self.stack.enter_async_context(
            running(
                f"services.{kind}",
                {**self.settings, **own},
                log,
                python=code.python,
                folder=code.folder,
            )
        )
        replica = Replica(kind, ip, process, log)
        await self._serves(replica)
        self.members[kind].append(replica)
        self._tell(kind)
        return replica

    async def add_all(self, kinds: Iterable[str], code: Code) -> list[Replica]:
        """Run one more replica of each of these kinds."""
        return list(await asyncio.gather(*(self.add(kind, code) for kind in kinds)))

    async def drain(self, replica: Replica, *, after_seconds: float = 0.0) -> None:
        """Stop a replica in order. Its name goes so long before that, as in Kubernetes."""
        self.forget(replica)
        await asyncio.sleep(after_seconds)
        replica.signal(signal.SIGTERM)
        assert await replica.ends() == 0, replica.log.read_text(errors="replace")[-2000:]

    async def kill(self, replica: Replica) -> None:
        """Kill a replica. Nobody is told; its name stays until `forget`."""
        replica.signal(signal.SIGKILL)
        await replica.ends()

    def forget(self, replica: Replica) -> None:
        """Let nobody find a replica any more."""
        self.members[replica.kind].remove(replica)
        self.gone.append(replica)
        self._tell(replica.kind)

    def calls(self, kind: str) -> dict[str, int]:
        """Return how many calls each replica of a kind has had, by its address."""
        return {each.ip: each.calls for each in self.members[kind]}

    async def seconds_until_share(self, replica: Replica, *, at_most: float) -> float:
        """Wait until a replica has its share of the calls, and return how long it took."""
        began = time.monotonic()
        before = self.calls(replica.kind)
        async with asyncio.timeout(at_most):
            while True:
                await asyncio.sleep(0.2)
                now = self.calls(replica.kind)
                gained = {ip: calls - before[ip] for ip, calls in now.items()}
                if sum(gained.values()) < WINDOW_CALLS:
                    continue
                if gained[replica.ip] * len(gained) >= SHARE_LEAST * sum(gained.values()):
                    return time.monotonic() - began
                before = now

    def _tell(self, kind: str) -> None:
        self.names.addresses[host(kind)] = [each.ip for each in self.members[kind]]

    async def _serves(self, replica: Replica) -> None:
        place = f"{replica.ip}:{self.ports[replica.kind]}"
        endpoint = f"http://{place}" if replica.kind == "gateway" else place
        async with asyncio.timeout(START_SECONDS_MAX):
            while not await is_serving(endpoint):
                assert replica.process.returncode is None, replica.log.read_text()[-2000:]
                await asyncio.sleep(0.3)


def host(kind: str) -> str:
    """Return the name of all replicas of a kind."""
    return f"{kind}.test"


@contextlib.asynccontextmanager
async def town(
    folder: Path, urls: Mapping[str, str], code: Code, *, size: int = 2, **settings: str
) -> AsyncIterator[Town]:
    """Run replicas of everything until the context ends.

    Args:
        folder: A folder for logs and certificates.
        urls: The migrated database of each service.
        code: What the replicas run.
        size: How many there are of each kind.
        settings: Further settings, by the names of the fields.
    """
    async with AsyncExitStack() as stack:
        names = await stack.enter_async_context(name_server())
        network = own_network()
        ports = {kind: free_port(f"{network}.1") for kind in KINDS}
        fields = {
            **_settings(folder),
            **{f"{name}_database_url": url for name, url in urls.items()},
            **{f"{kind}_port": str(port) for kind, port in ports.items()},
            **{f"{name}_address": names.target(host(name), ports[name]) for name in SERVICES},
            **settings,
        }
        made = Town(names, folder, variables(**fields), ports, stack, network)
        await made.add_all([kind for kind in KINDS for _ in range(size)], code)
        (folder / "envoy").mkdir()
        running_edge = edge(
            folder / "envoy", [(host("gateway"), ports["gateway"])], resolver=names.port
        )
        made.edge = await asyncio.to_thread(running_edge.__enter__)
        stack.callback(running_edge.__exit__, None, None, None)
        yield made


def _settings(folder: Path) -> dict[str, str]:
    return {
        "home": str(folder / "home"),
        "env": "test",
        "bcrypt_cost": "4",
        "address_limits": "off",
        "smtp_url": "smtp://127.0.0.1:1",
        "log_format": "json",
        "gateway_trusted_proxies": "127.0.0.0/8",
        "stop_delay_seconds": STOP_DELAY_SECONDS,
        **{f"{kind}_metrics_port": "0" for kind in KINDS},
    }
