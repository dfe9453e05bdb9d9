"""`make` sets a checkout up without a network, once its user has set one up before."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAME = "tiny"
WHEEL = f"{NAME}-1.0-py3-none-any.whl"


def make_wheel(folder: Path) -> str:
    """Make a wheel with one module, and return its hash."""
    info = f"{NAME}-1.0.dist-info"
    files = {
        f"{NAME}.py": b"ANSWER = 42\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_digest(each)},{len(each)}\n" for name, each in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    project = folder / NAME  # an index, as pip reads one
    project.mkdir(parents=True)
    (project / "index.html").write_text(f'<!doctype html><a href="{WHEEL}">{WHEEL}</a>')
    with zipfile.ZipFile(project / WHEEL, "w") as archive:
        for name, each in files.items():
            archive.writestr(name, each)
    return hashlib.sha256((project / WHEEL).read_bytes()).hexdigest()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def install(
    cache: Path, folder: Path, lock: Path, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Install a lock as the set-up does, into a folder of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return subprocess.run(
        [
            "make",
            "--no-print-directory",
            "--file",
            ROOT / "Makefile",
            f"--eval=probe: ; @$(call INSTALL,{lock})",
            f"PYTHON={sys.executable}",
            "probe",
        ],
        env=kept
        | {"XDG_CACHE_HOME": str(cache), "PIP_CONFIG_FILE": os.devnull, "PIP_TARGET": str(folder)}
        | settings,
        cwd=lock.parent,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["cache", "a cache"])
def test_a_second_checkout_needs_no_network(tmp_path: Path, name: str) -> None:
    index, cache, lock = tmp_path / "index", tmp_path / name, tmp_path / "one.lock"
    lock.write_text(f"{NAME}==1.0 --hash=sha256:{make_wheel(index)}\n")
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:1/", "PIP_RETRIES": "0"}

    first = install(cache, tmp_path / "first", lock, PIP_INDEX_URL=index.as_uri())
    assert first.returncode == 0, first.stderr
    second = install(cache, tmp_path / "second", lock, **nowhere)
    assert second.returncode == 0, second.stderr
    assert (tmp_path / "second" / f"{NAME}.py").is_file()


def test_a_cache_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    index, lock = tmp_path / "index", tmp_path / "one.lock"
    lock.write_text(f"{NAME}==1.0 --hash=sha256:{make_wheel(index)}\n")
    (tmp_path / "file").write_text("no folder")

    done = install(tmp_path / "file", tmp_path / "env", lock, PIP_INDEX_URL=index.as_uri())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "env" / f"{NAME}.py").is_file()
