"""Pages with a worked example, which tests play on a copy of the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(diff|python|proto) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMPILED = shutil.ignore_patterns("__pycache__")
GENERATED = shutil.ignore_patterns("__pycache__", "lockstep", "lockstep.binpb", ".generated-*")


@dataclass(frozen=True, slots=True)
class Block:
    """A file to write, or the places of a file to change."""

    language: str
    path: str
    text: str

    def apply(self, root: Path) -> None:
        """Write the file, or change each place, which must be there exactly once."""
        file = root / self.path
        if self.language != "diff":
            assert not file.exists(), f"{self.path} is there already"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.text)
            return
        content = file.read_text()
        for place in self.text.split("@@\n"):
            lines = place.splitlines()
            old = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
            new = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
            assert content.count(old) == 1, f"{self.path} has not once:\n{old}"
            content = content.replace(old, new)
        file.write_text(content)


def apply(page: str, checkout: Path) -> list[Block]:
    """Apply the blocks of a page to a copy of the repository."""
    for folder in ("protos", "services", "tests"):
        shutil.copytree(ROOT / folder, checkout / folder, ignore=COMPILED)
    clients = checkout / "clients" / "python"
    shutil.copytree(ROOT / "clients" / "python", clients, ignore=GENERATED)
    shutil.copy(ROOT / "pyproject.toml", checkout)
    blocks = [Block(*groups) for groups in BLOCK.findall((ROOT / "docs" / page).read_text())]
    assert blocks
    for block in blocks:
        block.apply(checkout)
    return blocks


def play(page: str, checkout: Path) -> None:
    """Apply the blocks of a page to a copy of the repository, lint them and run its tests."""
    blocks = apply(page, checkout)
    run(checkout, "clients/python/hatch_build.py")
    paths = [block.path for block in blocks if not block.path.endswith(".proto")]
    run(checkout, "-m", "ruff", "format", "--check", *paths)
    run(checkout, "-m", "ruff", "check", *paths)
    run(checkout, "-m", "pytest", "-q", *(path for path in paths if path.startswith("tests/")))


def run(checkout: Path, *arguments: str) -> None:
    """Run Python in the copy, with the copy's modules before the installed ones."""
    paths = (str(checkout), str(checkout / "clients" / "python" / "src"))
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
