"""Real processes, real sockets: what virtual time can't show."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lockstep_clients import LockstepError

from services.cli.postgres import THROWAWAY, EmbeddedPostgres
from services.kernel.db.migrations import upgrade
from tests.conftest import SERVICES
from tests.faults.forms import IS_LONG, SEED, report
from tests.faults.proxy import proxy_to_socket
from tests.faults.soak import SETTINGS, soaking
from tests.faults.traders import KINDS
from tests.system import student, system

KEY = (("idempotency-key", "once"),)
SOAK_SECONDS, CLIENTS = (600.0, 50) if IS_LONG else (15.0, 12)
BRANDS = 4
# At rest, of a replica that has lived through everything: what watches it, and its pools.
TASKS_MORE, SESSIONS_MAX, SOCKETS_MAX, GROWTH_MAX = 20, 40, 40, 1.1

# Commits must be on the disk when the server is stopped at once.
DURABLE = THROWAWAY | {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server that a test may stop."""
    server = EmbeddedPostgres(tmp_path / "postgres", options=DURABLE)
    server.start()
    try:
        names = ("auth", "profile", "commerce")
        server.create_databases([f"{name}db" for name in names])
        for name in names:
            upgrade(server.url(f"{name}db"), SERVICES / name / "migrations")
        yield server
    finally:
        server.destroy()


@pytest.mark.processes
async def test_a_half_open_connection_to_postgresql_delays_nobody_beyond_the_deadline(
    own_postgres: EmbeddedPostgres, keys: Path, tmp_path: Path
) -> None:
    """[R59]: bytes vanish, the socket stays; the caller is answered, and then it heals."""
    socket_path = str(own_postgres.socket_folder / ".s.PGSQL.5432")
    async with proxy_to_socket(socket_path) as proxy:
        auth_url = f"postgresql://lockstep@127.0.0.1:{proxy.port}/authdb"
        async with system(auth_url, own_postgres.url("profiledb"), keys, tmp_path) as lockstep:
            await lockstep.auth.Register(student("before@example.com"))
            proxy.is_swallowing = True
            with pytest.raises(LockstepError):
                await lockstep.auth.Register(student(), metadata=KEY, timeout=3.0)
            await asyncio.wait_for(proxy.swallowed.wait(), 20)
            proxy.is_swallowing = False
            async with asyncio.timeout(60):
                while True:
                    with contextlib.suppress(LockstepError):
                        answer = await lockstep.auth.Register(student(), metadata=KEY)
                        break
            assert answer.user.email == "alice@example.com"
            await lockstep.settled()
            await lockstep.agree()
            assert len(await lockstep.users()) == 2


@pytest.mark.processes
@pytest.mark.slow
async def test_processes_that_are_killed_and_stopped_under_load_keep_every_promise(
    own_postgres: EmbeddedPostgres, keys: Path, tmp_path: Path
) -> None:
    """[R2 R10 R17 R27 R30 R34 R43 R47 R48 R56 R57 C3 C9 C13 C19 C39]"""
    begin = time.monotonic()
    async with soaking(own_postgres, tmp_path, keys, seed=SEED) as soak:
        fresh = await soak.sizes()
        async with asyncio.TaskGroup() as group:
            until = time.monotonic() + SOAK_SECONDS
            for service in SETTINGS:
                group.create_task(soak.hurt(service, until))
            for number in range(CLIENTS):
                group.create_task(soak.live(number, until))
            for number in range(BRANDS):
                group.create_task(soak.trade(number, until))
            await asyncio.sleep(SOAK_SECONDS / 3)
            warm = await soak.sizes()
        await soak.settle()
        soak.check()
        tasks_max = {service: size.tasks + TASKS_MORE for service, size in fresh.items()}
        after = await soak.sizes_at_rest(tasks_max=tasks_max)
    for service, size in after.items():
        assert size.tasks <= tasks_max[service]
        assert size.sessions <= SESSIONS_MAX
        assert size.in_transactions == 0
        assert size.sockets < SOCKETS_MAX
        assert size.mebibytes <= warm[service].mebibytes * GROWTH_MAX
    counts = soak.history.counts
    assert counts["faults"]
    # A busy machine does not come to all of them within seconds.
    wanted = KINDS if IS_LONG else ("register", "order")
    assert [kind for kind in wanted if not counts[f"{kind} ok"]] == []
    content = {name: counts[name] for name in ("requests", "ok", "refused", "unknown", "faults")}
    content |= {kind: counts[f"{kind} ok"] for kind in KINDS}
    memory = ", ".join(
        f"{name} {warm[name].mebibytes}, {after[name].mebibytes}" for name in SETTINGS
    )
    seconds = time.monotonic() - begin
    date = datetime.now(UTC).date().isoformat()
    told = {"date": date, "clients": CLIENTS, "seconds": seconds, "memory": memory}
    report("soak", content | told)
