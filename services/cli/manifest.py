"""The manifest of a backup: what is in it, from when, and by which versions."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from services.cli.errors import CommandError
from services.common.files import damaged, read_json, write_file

NAME: Final = "manifest.json"
FORMAT: Final = 1
REMEDY: Final = "use another backup"
CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Dump:
    """The dump of one database.

    Attributes:
        revision: The revision of its tables.
        snapshot_time: The time of the snapshot, by the clock of its server.
        tables: The number of its tables that hold data.
    """

    file: str
    revision: str
    snapshot_time: str
    tables: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A backup.

    Attributes:
        format: The format of this manifest.
        version: The version of Lockstep that made the backup.
        postgres: The major version of pg_dump.
        create_time: When it was begun.
        dumps: The dump of each service.
        sha256: The checksum of each file, also those of keys, by its path in the folder.
        has_keys: Whether the keys are in it.
    """

    format: int
    version: str
    postgres: int
    create_time: str
    dumps: Mapping[str, Dump]
    sha256: Mapping[str, str]
    has_keys: bool

    def write(self, folder: Path) -> None:
        """Write it, as the last file of a backup: without it a backup is not whole."""
        content = json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"
        write_file(folder / NAME, content.encode())


def read(folder: Path) -> Manifest:
    """Read the manifest of a backup, and compare the checksums of all its files.

    Raises:
        FileProblem: A file is missing or damaged.
        CommandError: The backup is of a later format.
    """
    path = folder / NAME
    found: Any = read_json(path, remedy="name the folder of a backup that was finished")
    if isinstance(found, dict) and found.get("format", 0) != FORMAT:
        raise CommandError(f"{path} is of format {found.get('format')}: use a newer Lockstep")
    try:
        manifest = TypeAdapter(Manifest).validate_python(found)
    except ValidationError:
        raise damaged(path, "the manifest of a backup", remedy=REMEDY) from None
    for name, digest in manifest.sha256.items():
        if not (folder / name).is_file() or sha256(folder / name) != digest:
            raise damaged(folder / name, "what the backup put into it", remedy=REMEDY)
    return manifest


def sha256(path: Path) -> str:
    """Return the checksum of a file."""
    digest = hashlib.sha256()
    for chunk in _chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
