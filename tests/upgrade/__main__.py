"""What `make upgrade` does: a rolling update from the last release, and what callers see of it.

python -m tests.upgrade
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.postgres import shared_postgres
from tests.replicas.play import HEADER, judge
from tests.upgrade.play import is_of_the_release, upgrading
from tests.upgrade.release import Release, ReleaseMissing

SIZE: Final = 2
ANSWERS: Final = 60


async def run() -> bool:
    """Update, print, and return whether nothing failed."""
    release = Release.last()
    with tempfile.TemporaryDirectory(prefix="lockstep-upgrade-") as name, shared_postgres() as it:
        folder, server = Path(name), it
        print(f"two of everything of {release.version} ({release.commit[:7]}) start", flush=True)
        async with upgrading(
            release, folder, server, size=SIZE, answers=ANSWERS, may_download=True
        ) as upgrade:
            await upgrade.play_all()
            print(HEADER, *upgrade.play.outcomes, sep="\n", flush=True)
            await upgrade.play.crowd.stop()
            return await judge(upgrade.play, upgrade.urls, is_of_the_release)


def main() -> int:
    """Run, or say what is missing."""
    try:
        return 0 if asyncio.run(run()) else 1
    except ReleaseMissing as error:
        print(f"upgrade: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
