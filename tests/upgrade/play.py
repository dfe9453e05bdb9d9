"""A rolling update from the last release to this code, under load, on the same databases."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.cli.postgres import EmbeddedPostgres
from services.cli.system import DATABASES
from services.common import key_files
from tests.environment import variables, without_settings
from tests.replicas.crowd import crowd
from tests.replicas.play import Play
from tests.replicas.town import KINDS, Code, town
from tests.upgrade.release import Release

COMMAND_SECONDS_MAX: Final = 120
# Callers of 0.1.0 leave out gRPC's option for it, so they look a name up once in 30 s at most. A
# roll-out that is faster than that takes away all the replicas that they know.
LOOK_UP_SECONDS: Final = 31.0
# The gateway of 0.1.0 refuses connections as soon as it is told to stop. In Kubernetes a preStop
# hook sleeps for so long, until no proxy has its address any more.
LEAVE_SECONDS: Final = 5.0
# Errors of this code hold an ErrorInfo, so an empty one is of the release.
OF_THE_RELEASE: Final = ' 499 {"code": 1, "message": "CANCELLED", "details": []}'


@dataclass
class Upgrade:
    """Replicas of the last release with their callers, and the code that shall replace it."""

    play: Play
    size: int
    new: Code
    urls: Mapping[str, str]

    async def migrate(self) -> None:
        """Bring the databases up to date, while replicas of the release serve."""
        await asyncio.to_thread(_command, self.new, self.urls, "migrate")

    async def replace(self) -> None:
        """Replace one replica of each kind at the same time, as a roll-out does.

        The new one serves before the old one is told to go. So each kind meets each other
        kind in both versions. The old one is told some time after its name is gone.
        """
        await asyncio.gather(*map(self._replace_oldest, KINDS))

    async def _replace_oldest(self, kind: str) -> None:
        town = self.play.town
        oldest = town.members[kind][0]
        await town.add(kind, self.new)
        await town.drain(oldest, after_seconds=LEAVE_SECONDS)

    async def play_all(self) -> None:
        """Migrate, then replace everything, with a pause so that callers find what is new."""
        await self.play.watch("before", self.play.calm)
        await self.play.watch("migrated", self.migrate)
        for number in range(1, self.size + 1):
            await self.play.watch(f"{number} of {self.size} replaced", self.replace)
            if number < self.size:
                await asyncio.sleep(LOOK_UP_SECONDS)
        await self.play.watch("after", self.play.calm)


@contextlib.asynccontextmanager
async def upgrading(
    release: Release,
    folder: Path,
    server: EmbeddedPostgres,
    *,
    size: int,
    answers: int,
    may_download: bool,
) -> AsyncIterator[Upgrade]:
    """Run replicas of everything of the release, on databases and keys that it has made.

    Args:
        release: The release.
        folder: A folder for all of it.
        server: A PostgreSQL.
        size: How many replicas there are of each kind.
        answers: How many answers of each sort callers wait for before and after each change.
        may_download: Whether wheels may come from the index.

    Raises:
        ReleaseMissing: The release cannot run here.
    """
    checkout = folder / "release"
    release.unpack(checkout)
    python = await asyncio.to_thread(release.install, checkout, may_download=may_download)
    urls = {service: server.url(name) for service, name in DATABASES.items()}
    server.create_databases(DATABASES.values())
    old, new = Code(folder / "keys", str(python), checkout), Code(folder / "new-keys")
    for arguments in (("keys", "init"), ("migrate",)):
        await asyncio.to_thread(_command, old, urls, *arguments)
    # As each pod has its own Secrets: new keys and forms are not seen by what still runs.
    shutil.copytree(old.keys, new.keys)
    key_files.initialise(new.keys)
    async with town(folder, urls, old, size=size) as made, crowd(made.edge, urls) as people:
        yield Upgrade(Play(made, people, old, answers), size, new, urls)


def is_of_the_release(failure: str) -> bool:
    """Tell whether it is 0.1.0 that has failed.

    gRPC cancels a call that a stopping server has not taken, be it a read or a write. The gateway
    of 0.1.0 passes that on as 499 instead of asking another replica.
    """
    return failure.endswith(OF_THE_RELEASE)


def _command(code: Code, urls: Mapping[str, str], *arguments: str) -> None:
    """Run `lockstep` of a checkout."""
    databases = {f"{name}_database_url": url for name, url in urls.items()}
    own = variables(keys=str(code.keys), home=str(code.keys.parent / "home"), **databases)
    done = subprocess.run(
        [code.python, "-m", "services.cli", *arguments],
        cwd=code.folder,
        env=without_settings() | own,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_SECONDS_MAX,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
