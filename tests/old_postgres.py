"""A PostgreSQL that is older than Lockstep takes, where the machine has one (Debian's)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final

from services.cli import parent_death
from services.cli.postgres import SUPERUSER, THROWAWAY, EmbeddedPostgres, environment

VERSION: Final = "15"
BINARIES: Final = Path(f"/usr/lib/postgresql/{VERSION}/bin")
MISSING: Final = f"PostgreSQL {VERSION} is not on this machine (Debian: apt-get install postgresql)"


def is_there() -> bool:
    """Return whether the machine has the old server."""
    return (BINARIES / "postgres").exists()


class OldPostgres(EmbeddedPostgres):
    """A throwaway server of the old version."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, options=THROWAWAY)

    def _initdb(self) -> None:
        argv = ["initdb", "-D", str(self.data), "-U", SUPERUSER, "-A", "trust", "-E", "UTF8"]
        subprocess.run(
            self._as_owner([*argv, "--locale=C", "--no-sync"], signal.SIGKILL),
            cwd="/",
            env=environment(),
            capture_output=True,
            timeout=60,
            check=True,
        )

    def _check_version(self) -> None:
        assert (self.data / "PG_VERSION").read_text().strip() == VERSION

    def _as_owner(self, argv: list[str], death_signal: signal.Signals) -> list[str]:
        program = shutil.which(argv[0], path=str(BINARIES))
        assert program is not None
        uid = self.folder.stat().st_uid
        switch = None if uid == os.getuid() else uid
        return parent_death.command([program, *argv[1:]], death_signal=death_signal, uid=switch)
