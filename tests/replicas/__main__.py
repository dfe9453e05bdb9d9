"""What `make replicas` does: loses and adds replicas of everything under load, and prints it all.

python -m tests.replicas
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from services.cli.postgres import EmbeddedPostgres
from services.common import key_files
from tests.failover.play import prepare
from tests.postgres import shared_postgres
from tests.replicas.crowd import crowd
from tests.replicas.play import HEADER, Play, judge
from tests.replicas.town import KINDS, SERVICES, Code, town

ANSWERS: Final = 20


def urls_of(server: EmbeddedPostgres) -> Mapping[str, str]:
    """Return the database of each service."""
    return {service: server.url(f"{service}db") for service in SERVICES}


@contextlib.asynccontextmanager
async def playing(folder: Path, server: EmbeddedPostgres) -> AsyncIterator[Play]:
    """Run two of everything with their callers, by the settings that everybody has."""
    urls = urls_of(server)
    await asyncio.to_thread(prepare, urls)
    code = Code(folder / "keys")
    key_files.initialise(code.keys)
    async with town(folder, urls, code) as made, crowd(made.edge, urls) as people:
        yield Play(made, people, code, ANSWERS)


async def play_all(play: Play) -> None:
    """Play everything: first for one kind after the other, then for all at once."""
    for kinds in [*((kind,) for kind in KINDS), KINDS]:
        who = kinds[0] if len(kinds) == 1 else "one of each"
        for name, happening in (
            ("killed", play.killed),
            ("added", play.added),
            ("frozen", play.frozen),
            ("drained", play.drained),
            ("added", play.added),
        ):
            print(await play.watch(f"{who} {name}", partial(happening, kinds)), flush=True)
    print(await play.watch("nothing", play.calm), flush=True)


async def run() -> bool:
    """Play, print, and return whether nothing failed."""
    with tempfile.TemporaryDirectory(prefix="lockstep-replicas-") as name, shared_postgres() as it:
        folder, server = Path(name), it
        print("two of everything start behind Envoy", flush=True)
        async with playing(folder, server) as play:
            print(HEADER, flush=True)
            await play_all(play)
            await play.crowd.stop()
            return await judge(play, urls_of(server))


def main() -> int:
    """Run."""
    return 0 if asyncio.run(run()) else 1


if __name__ == "__main__":
    sys.exit(main())
