"""Vendure's small project, installed by npm into build/vendure."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Final

from tests.bench.stack import ROOT

PROJECT: Final = ROOT / "tests" / "bench" / "vendure"
INSTALLED: Final = ROOT / "build" / "vendure"
NODE_MIN: Final = 20
SIGN_OF_LIFE_SECONDS: Final = 10.0
# No script of a package runs, and no lock is written: it would hold a registry's address.
NPM_INSTALL: Final = (
    *("install", "--ignore-scripts", "--no-package-lock"),
    *("--no-audit", "--no-fund", "--loglevel=error"),
)
NEEDED: Final = (
    f"make bench-vendure needs Node {NODE_MIN} or newer with npm; {{}}. Install it (on Debian: "
    "apt-get install nodejs npm), or leave this target out: nothing else needs it."
)

Say = Callable[[str], None]


class InstallError(Exception):
    """Vendure cannot be installed; the text says what to do."""


def dependencies() -> dict[str, str]:
    """Return the packages that the project asks npm for, and their versions."""
    found: dict[str, str] = json.loads((PROJECT / "package.json").read_text())["dependencies"]
    return found


def name() -> str:
    """Return Vendure's name and version."""
    return f"Vendure {dependencies()['@vendure/core']}"


def install(say: Say) -> None:
    """Install Vendure; what is installed already stays.

    Args:
        say: Tells somebody what happens.

    Raises:
        InstallError: There is no Node that will do, or npm failed.
    """
    npm = _npm()
    wanted = (PROJECT / "package.json").read_text()
    stamp = INSTALLED / "node_modules" / ".installed"
    INSTALLED.mkdir(parents=True, exist_ok=True)
    for path in PROJECT.iterdir():
        shutil.copy(path, INSTALLED)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    say("Installing Vendure into build/vendure; the first time takes a minute or two.")
    stamp.unlink(missing_ok=True)  # what fails halfway is no installation
    _run(npm, say)
    stamp.write_text(wanted)


def _npm() -> str:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        missing = "node" if node is None else "npm"
        raise InstallError(NEEDED.format(f"there is no {missing} on the PATH"))
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(told.removeprefix("v").partition(".")[0]) < NODE_MIN:
        raise InstallError(NEEDED.format(f"this is {told.strip()}"))
    return npm


def _run(npm: str, say: Say) -> None:
    """Run npm, and give a sign of life now and then."""
    began = time.monotonic()
    with subprocess.Popen([npm, *NPM_INSTALL], cwd=INSTALLED) as process:
        try:
            while process.poll() is None:
                try:
                    process.wait(SIGN_OF_LIFE_SECONDS)
                except subprocess.TimeoutExpired:
                    say(f"  still installing, for {time.monotonic() - began:.0f} s")
        finally:
            process.kill()
    if process.returncode != 0:
        raise InstallError(
            f"npm could not install Vendure (code {process.returncode}). It needs the network and "
            "its registry: see what npm said above, then run make bench-vendure again."
        )
