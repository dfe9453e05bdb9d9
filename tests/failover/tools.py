"""The tools of the failover tests: Patroni, etcd and haproxy, and who runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.cli import parent_death
from services.cli.postgres import _unprivileged, binaries

PATRONI: Final = ("patroni[etcd3]==4.1.5", "psycopg[binary]==3.3.9")
FOLDER: Final = Path(__file__).parents[2] / "build" / "patroni"
DEBIAN: Final = ("etcd", "haproxy")
PATHS: Final = f"{os.environ['PATH']}:/usr/sbin"
# Debian's: a Python in root's home cannot be entered by the user who runs PostgreSQL.
SYSTEM_PYTHON: Final = "/usr/bin/python3"


def missing() -> str:
    """Say what the machine lacks; empty if it lacks nothing."""
    lacking = [name for name in DEBIAN if shutil.which(name, path=PATHS) is None]
    if lacking:
        return (
            f"{' and '.join(lacking)} must be on this machine "
            "(Debian: apt-get install etcd-server haproxy)"
        )
    if not (FOLDER / "patroni").is_dir():
        return "Patroni is not in build/patroni (`make failover` installs it)"
    return ""


def install() -> None:
    """Install Patroni, and what it needs, into a folder of its own."""
    if (FOLDER / "patroni").is_dir():
        return
    unfinished = FOLDER.with_name("patroni-unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--target", str(unfinished), *PATRONI),
        ],
        check=True,
    )
    unfinished.rename(FOLDER)


@dataclass(frozen=True, slots=True)
class Runner:
    """Who runs the cluster: as root another user, since PostgreSQL refuses root.

    Attributes:
        folder: A folder of that user.
        uid: The user; None: the one of this process.
        site: The folder with Patroni's packages, which that user may read.
        python: A Python that this user may run.
        bin: The programs of PostgreSQL.
    """

    folder: Path
    uid: int | None
    site: Path
    python: str
    bin: Path

    @classmethod
    def make(cls) -> Runner:
        """Make the folder."""
        folder = Path(tempfile.mkdtemp(prefix="lockstep-failover-"))
        if os.getuid() != 0:
            return cls(folder, None, FOLDER, sys.executable, binaries())
        uid, gid = _unprivileged()
        site = folder / "site"
        shutil.copytree(FOLDER, site)
        os.chown(folder, uid, gid)
        return cls(folder, uid, site, SYSTEM_PYTHON, binaries(uid))

    def start(self, name: str, argv: list[str]) -> subprocess.Popen[bytes]:
        """Start a program; it dies with this process."""
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            return subprocess.Popen(
                parent_death.command(argv, death_signal=9, uid=self.uid),
                cwd=self.folder,
                env={
                    "PATH": f"{self.bin}:{PATHS}",
                    "LC_ALL": "C.UTF-8",
                    "HOME": str(self.folder),
                    "PYTHONPATH": str(self.site),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def log(self, name: str) -> str:
        """Return what a program has written."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def program(name: str) -> str:
    """Return the path of one of Debian's programs."""
    found = shutil.which(name, path=PATHS)
    assert found is not None, missing()
    return found
