"""The descriptors of several upstreams, put together into one set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

SHARED: Final = ("google.protobuf", "google.api", "google.rpc", "google.type")
"""The packages that everybody has, in one version or another."""


class ConflictError(ValueError):
    """Two upstreams mean different things by one name; the text names it."""


class _Symbol(NamedTuple):
    content: bytes
    file: str


class FileSet:
    """Files of several upstreams.

    Two projects often have different files of one name, such as `service.proto`. The second
    gets another name. But no two may define one symbol in different ways.
    """

    def __init__(self) -> None:
        self._files: dict[str, FileDescriptorProto] = {}
        self._symbols: dict[str, _Symbol] = {}

    def add(self, files: Iterable[FileDescriptorProto]) -> None:
        """Add the files of an upstream, all of them or none.

        Raises:
            ConflictError: A symbol is there already and means something else.
        """
        names: dict[str, str] = {}
        added: list[FileDescriptorProto] = []
        symbols: dict[str, _Symbol] = {}
        for file in files:
            found = dict(_symbols(file))
            known = self._known(file, found)
            names[file.name] = known or self._free_name(file.name)
            if not known:
                added.append(file)
                symbols |= {name: _Symbol(each, names[file.name]) for name, each in found.items()}
        for file in added:
            copy = FileDescriptorProto()
            copy.CopyFrom(file)
            copy.name = names[file.name]
            copy.dependency[:] = [names.get(each, each) for each in file.dependency]
            self._files[copy.name] = copy
        self._symbols |= symbols

    def serialized(self) -> bytes:
        """Return all files as a FileDescriptorSet, each behind its imports."""
        ordered: dict[str, FileDescriptorProto] = {}
        for name in self._files:
            self._put(name, ordered)
        return FileDescriptorSet(file=ordered.values()).SerializeToString()

    def _put(self, name: str, ordered: dict[str, FileDescriptorProto]) -> None:
        if name in ordered or name not in self._files:
            return
        for each in self._files[name].dependency:
            self._put(each, ordered)
        ordered[name] = self._files[name]

    def _known(self, file: FileDescriptorProto, found: Mapping[str, bytes]) -> str:
        """Return the name of the file that defines the same, or nothing."""
        known = {name: self._symbols[name] for name in found if name in self._symbols}
        for name, symbol in known.items():
            if symbol.content != found[name] and file.package not in SHARED:
                raise ConflictError(f"{name} differs from that of another upstream")
        if known and file.package not in SHARED:
            missing = sorted(found.keys() - known.keys())
            if missing or len({each.file for each in known.values()}) > 1:
                raise ConflictError(f"{file.name} differs from that of another upstream")
        if known:
            return next(iter(known.values())).file
        same = self._files.get(file.name)
        return file.name if same is not None and not found and same == file else ""

    def _free_name(self, name: str) -> str:
        number, free = 1, name
        while free in self._files:
            number += 1
            free = f"{number}/{name}"
        return free


def _symbols(file: FileDescriptorProto) -> Iterator[tuple[str, bytes]]:
    prefix = f"{file.package}." if file.package else ""
    for message in file.message_type:
        yield prefix + message.name, _plain(message).SerializeToString(deterministic=True)
    for group in (file.enum_type, file.service, file.extension):
        for each in group:
            yield prefix + each.name, each.SerializeToString(deterministic=True)


def _plain(message: DescriptorProto) -> DescriptorProto:
    """Return a message without JSON names, which some compilers write and others leave out."""
    plain = DescriptorProto()
    plain.CopyFrom(message)
    stack = [plain]
    while stack:
        each = stack.pop()
        stack.extend(each.nested_type)
        for field in each.field:
            field.ClearField("json_name")
    return plain
