"""`make` sets a checkout up without a network, once its user has set one up before."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAME, BUILDER = "tiny", "builder"
WHEEL = f"{NAME}-1.0-py3-none-any.whl"
# What builds the package from its source: it needs another package, and has the wheel at hand.
BACKEND = f"""
import shutil, {BUILDER}
def build_wheel(folder, *_, **__):
    shutil.copy({WHEEL!r}, folder)
    return {WHEEL!r}
"""
PROJECT = f"""
[build-system]
requires = ["{BUILDER}"]
build-backend = "backend"
backend-path = ["."]
"""


def make_wheel(folder: Path, name: str = NAME) -> str:
    """Make a wheel with one module in an index, and return its hash."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": b"ANSWER = 42\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{each},sha256={_digest(text)},{len(text)}\n" for each, text in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = listed(folder / name / f"{name}-1.0-py3-none-any.whl")
    with zipfile.ZipFile(wheel, "w") as archive:
        for each, text in files.items():
            archive.writestr(each, text)
    return _hash(wheel)


def make_source(folder: Path) -> str:
    """Make the same package without a wheel in an index, and return the hash of its source."""
    make_wheel(folder, BUILDER)
    make_wheel(folder / "elsewhere")
    source = listed(folder / NAME / f"{NAME}-1.0.tar.gz")
    files = {
        "pyproject.toml": PROJECT.encode(),
        "backend.py": BACKEND.encode(),
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n".encode(),
        WHEEL: (folder / "elsewhere" / NAME / WHEEL).read_bytes(),
    }
    with tarfile.open(source, "w:gz") as archive:
        for each, content in files.items():
            entry = tarfile.TarInfo(f"{NAME}-1.0/{each}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return _hash(source)


def listed(file: Path) -> Path:
    """Name a file in its folder's page, as an index does for pip."""
    file.parent.mkdir(parents=True)
    (file.parent / "index.html").write_text(f'<!doctype html><a href="{file.name}">{file.name}</a>')
    return file


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def install(
    cache: Path, folder: Path, lock: Path, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Install a lock as the set-up does, into a folder of its own."""
    return install_with(sys.executable, cache, lock, PIP_TARGET=str(folder), **settings)


def install_with(
    python: str, cache: Path, lock: Path, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Install a lock as the set-up does, with a Python."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    (lock.parent / "protos" / "lockstep").mkdir(parents=True, exist_ok=True)  # make lists it
    return subprocess.run(
        [
            "make",
            "--no-print-directory",
            "--file",
            ROOT / "Makefile",
            f"--eval=probe: ; @$(call INSTALL,{lock})",
            f"PYTHON={python}",
            "probe",
        ],
        env=kept | {"XDG_CACHE_HOME": str(cache), "PIP_CONFIG_FILE": os.devnull} | settings,
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
    assert (first.returncode, first.stderr) == (0, "")
    second = install(cache, tmp_path / "second", lock, **nowhere)
    assert (second.returncode, second.stderr) == (0, "")
    assert (tmp_path / "second" / f"{NAME}.py").is_file()


def test_a_cache_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    index, lock = tmp_path / "index", tmp_path / "one.lock"
    lock.write_text(f"{NAME}==1.0 --hash=sha256:{make_wheel(index)}\n")
    (tmp_path / "file").write_text("no folder")

    done = install(tmp_path / "file", tmp_path / "env", lock, PIP_INDEX_URL=index.as_uri())
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "env" / f"{NAME}.py").is_file()


def test_a_package_that_must_be_built_is_installed_all_the_same(tmp_path: Path) -> None:
    """What builds it is not kept, so the kept files do not suffice."""
    index, lock = tmp_path / "index", tmp_path / "one.lock"
    lock.write_text(f"{NAME}==1.0 --hash=sha256:{make_source(index)}\n")

    env = tmp_path / "env"
    venv.create(env, with_pip=True)
    python = str(env / "bin" / "python")
    done = install_with(python, tmp_path / "cache", lock, PIP_INDEX_URL=index.as_uri())
    assert (done.returncode, done.stderr) == (0, "")
    subprocess.run([python, "-c", f"import {NAME}"], check=True)


def test_a_set_up_that_fails_tells_the_errors_of_its_last_try(tmp_path: Path) -> None:
    index, cache, lock = tmp_path / "index", tmp_path / "cache", tmp_path / "one.lock"
    make_wheel(index)
    lock.write_text(f"{NAME}==1.0 --hash=sha256:{'0' * 64}\n")

    done = install(cache, tmp_path / "env", lock, PIP_INDEX_URL=index.as_uri())
    assert done.returncode != 0
    assert done.stderr.count("THESE PACKAGES DO NOT MATCH THE HASHES") == 1
