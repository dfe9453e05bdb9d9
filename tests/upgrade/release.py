"""The last release as code that runs: its commit, and an environment of its own.

CHANGELOG.md names the commit of a release in the line below its heading, and nothing else does.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.replicas.world import ROOT

RELEASE: Final = re.compile(r"^## (\S+) - \S+\n\nCommit `([0-9a-f]{40})`\.$", re.MULTILINE)
PROJECTS: Final = ("clients/python", "gateway", ".")
SECONDS_MAX: Final = 600


class ReleaseMissing(Exception):
    """The release cannot run here. The text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Release:
    """A released version and its commit."""

    version: str
    commit: str

    @classmethod
    def last(cls) -> Self:
        """Return the newest release of which CHANGELOG.md names the commit."""
        found = RELEASE.search((ROOT / "CHANGELOG.md").read_text())
        assert found is not None, "CHANGELOG.md must name the commit of a release"
        return cls(found[1], found[2])

    def unpack(self, folder: Path) -> None:
        """Put the files of the commit into a folder.

        Raises:
            ReleaseMissing: This checkout does not have the commit.
        """
        archive = folder.with_suffix(".tar")
        argv = ["git", "-C", str(ROOT), "archive", "--output", str(archive), self.commit]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise ReleaseMissing("git is not on this machine") from error
        if done.returncode != 0:
            raise ReleaseMissing(f"this checkout lacks the commit of {self.version}: git fetch it")
        with tarfile.open(archive) as file:
            # Python 3.11.3 and older have no filters. The archive is our own.
            file.extraction_filter = getattr(tarfile, "data_filter", None)
            file.extractall(folder)
        archive.unlink()

    def install(self, folder: Path, *, may_download: bool) -> Path:
        """Make an environment for what was unpacked, and return its Python.

        Args:
            folder: Where it was unpacked.
            may_download: Whether wheels that no checkout has kept may come from the index.

        Raises:
            ReleaseMissing: Wheels are missing.
        """
        python = folder / ".venv" / "bin" / "python"
        _uv(["venv", "--python", sys.executable, str(folder / ".venv")])
        try:
            _install(python, folder)
        except subprocess.CalledProcessError as error:
            if not may_download:
                raise ReleaseMissing(
                    f"wheels of {self.version} are not kept here: run `make upgrade` once"
                ) from error
            _keep_wheels(folder)
            _install(python, folder)
        return python


def wheels() -> Path:
    """Return the folder in which a checkout keeps wheels, as the Makefile has it."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "lockstep" / "wheels"


def _install(python: Path, folder: Path) -> None:
    """Install what the release needs, in the versions of its lock, from the wheels alone."""
    projects = [folder / each for each in PROJECTS if (folder / each / "pyproject.toml").exists()]
    needed = {need for each in projects for need in _build_needs(each / "pyproject.toml")}
    common = ["pip", "install", "--python", str(python), "--offline", "--no-index", "--no-sources"]
    common += ["--find-links", str(wheels()), "--constraints", str(folder / "requirements.lock")]
    _uv([*common, *sorted(needed)])
    editable = [part for each in projects for part in ("--editable", str(each))]
    # Without isolation: the stubs must come from the grpcio-tools of the lock.
    _uv([*common, "--no-build-isolation", *editable])


def _build_needs(project: Path) -> list[str]:
    needs: list[str] = tomllib.loads(project.read_text())["build-system"]["requires"]
    return needs


def _keep_wheels(folder: Path) -> None:
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--require-hashes"]
    argv += ["--dest", str(wheels()), "-r", str(folder / "requirements.lock")]
    subprocess.run(argv, check=True, timeout=SECONDS_MAX)


def _uv(arguments: list[str]) -> None:
    subprocess.run(
        [sys.executable, "-m", "uv", "--quiet", *arguments],
        check=True,
        capture_output=True,
        timeout=SECONDS_MAX,
    )
