"""Files that a process needs at its start: each way to be unusable is one line with its remedy.

A file that is there is not yet a good one. The readers tell apart what is missing, what this
user may not read, what is empty, what is of another type and what is damaged.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import structlog

T = TypeVar("T")
FILE_BYTES_MAX: Final = 1024 * 1024

log = structlog.get_logger("lockstep.files")


class FileProblem(Exception):
    """A file or folder cannot be used; the text is one line that names the remedy."""


def read_file(path: Path, *, remedy: str) -> bytes:
    """Read a file that must not be empty.

    Args:
        path: The file.
        remedy: What to do when it is missing, empty or damaged.

    Raises:
        FileProblem: It is missing, not readable, empty, too large or no file.
    """
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a device or socket"
            raise FileProblem(f"{path} is {kind}, but must be a file: remove it, then {remedy}")
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise problem_of(error, path, remedy=remedy) from None
    if not content:
        raise FileProblem(f"{path} is empty: {remedy}")
    if len(content) > FILE_BYTES_MAX:
        raise FileProblem(f"{path} is larger than {FILE_BYTES_MAX} bytes: {remedy}")
    return content


def read_json(path: Path, *, remedy: str) -> Any:
    """Read a JSON file.

    Raises:
        FileProblem: It cannot be read, or holds no JSON.
    """
    try:
        return json.loads(read_file(path, remedy=remedy))
    except (ValueError, RecursionError):
        raise damaged(path, "valid JSON", remedy=remedy) from None


def damaged(path: Path, wanted: str, *, remedy: str) -> FileProblem:
    """Return the error for a file whose content is not what it must be."""
    return FileProblem(f"{path} is damaged: it must hold {wanted}; {remedy}")


def problem_of(error: OSError, path: Path, *, remedy: str) -> FileProblem:
    """Say what an error of the system means for a file or folder."""
    return FileProblem(f"{path} {_meaning(error, remedy)}")


def _meaning(error: OSError, remedy: str) -> str:
    reason = error.strerror or type(error).__name__
    match error:
        case FileNotFoundError():
            told = f"is missing: {remedy}"
        case PermissionError():
            told = (
                f"cannot be used by this user ({reason}): give the user of the process access to it"
            )
        case NotADirectoryError():
            told = f"cannot be reached: each part of its path must be a folder; {remedy}"
        case FileExistsError():
            told = "must be a folder: rename or remove what has this name"
        case IsADirectoryError():
            told = "is a folder, but must be a file: rename or remove it"
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EFBIG):
            told = (
                f"cannot be written ({reason}): make room on its disk, or raise the limit of its "
                "user"
            )
        case _:
            told = f"cannot be used: {reason}"
    return told


def explained(error: OSError) -> Exception:
    """Say what an error of the system means, if it is about a file; else return it as it is."""
    if not isinstance(error.filename, str | bytes):
        return error
    path = Path(os.fsdecode(error.filename))
    return problem_of(error, path, remedy="make it, or change the setting that names its folder")


def make_folder(path: Path) -> None:
    """Make a folder for this user alone, if it is missing.

    Raises:
        FileProblem: It cannot be made, or something else has its name.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise problem_of(error, path, remedy="make the folder above it") from None


def ensure_writable(folder: Path) -> None:
    """Make sure that files can be made in a folder, by making one.

    Raises:
        FileProblem: No file can be made there, or the disk is full.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        error.filename = None
        raise problem_of(error, folder, remedy="make it") from None


def write_file(path: Path, content: bytes) -> None:
    """Write a file durably and at once, readable by its owner alone.

    Raises:
        FileProblem: It cannot be written.
    """
    make_folder(path.parent)
    partial: str | None = None
    try:
        descriptor, partial = tempfile.mkstemp(prefix=".", dir=path.parent)  # 0600
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).replace(path)
    except OSError as error:
        if partial is not None:
            with suppress(OSError):
                Path(partial).unlink()
        raise problem_of(error, path, remedy="make its folder") from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from changing a folder at the same time; make it if it is missing.

    Raises:
        FileProblem: The folder cannot be made or written to.
    """
    make_folder(folder)
    path = folder / ".lock"
    try:
        lock = path.open("wb")
    except OSError as error:
        raise problem_of(error, path, remedy="make its folder") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Watched(Generic[T]):
    """What a file holds, read again when the file has changed.

    A change that cannot be used is logged once, and what was read before it stays in use.

    Args:
        path: The file whose change tells that it is time to read again.
        read: Reads it.

    Raises:
        FileProblem: It cannot be read now.
    """

    def __init__(self, path: Path, read: Callable[[], T]) -> None:
        self._path: Final = path
        self._read: Final = read
        self._stamp = _stamp(path)
        self._value = read()

    @property
    def value(self) -> T:
        """What the file holds now."""
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._value = self._read()
            except FileProblem as error:
                log.warning("change of a file ignored", error=str(error))
        return self._value


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
