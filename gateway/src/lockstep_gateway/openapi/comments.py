"""The comments of protos, by the full name of the described element."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from protobuf import DescFile, Registry

Path = tuple[int, ...]

# The numbers and names of the repeated fields in descriptor.proto that hold named elements.
_FILE_PARTS: Final = ((4, "message_type"), (5, "enum_type"), (6, "service"))
_MESSAGE_PARTS: Final = ((2, "field"), (3, "nested_type"), (4, "enum_type"))
_ENUM_PARTS: Final = ((2, "value"),)
_SERVICE_PARTS: Final = ((2, "method"),)
_PARTS_OF: Final = {
    "message_type": _MESSAGE_PARTS,
    "nested_type": _MESSAGE_PARTS,
    "enum_type": _ENUM_PARTS,
    "service": _SERVICE_PARTS,
}


def read_comments(registry: Registry) -> dict[str, str]:
    """Return the comments of messages, fields, enums, their values, services and methods.

    There are none when the descriptors were made without `--include_source_info`.
    """
    found: dict[str, str] = {}
    for file in registry:
        if isinstance(file, DescFile):
            texts = _texts(file.proto)
            for path, name in _named(file.proto, _FILE_PARTS, (), file.proto.package):
                if path in texts:
                    found[name] = texts[path]
    return found


def summary(comment: str) -> str:
    """Return the first sentence, in one line, without its full stop."""
    paragraph = " ".join(comment.split("\n\n", 1)[0].split())
    return re.split(r"[.:] (?=[A-Z\[])|\.$", paragraph, maxsplit=1)[0]


def _texts(file: Any) -> dict[Path, str]:
    if file.source_code_info is None:
        return {}
    return {
        tuple(each.path): _clean(each.leading_comments or each.trailing_comments)
        for each in file.source_code_info.location
        if each.leading_comments or each.trailing_comments
    }


def _clean(comment: str) -> str:
    return "\n".join(line.strip() for line in comment.strip().splitlines())


def _named(
    holder: Any, parts: Sequence[tuple[int, str]], path: Path, prefix: str
) -> Iterator[tuple[Path, str]]:
    for number, attribute in parts:
        for index, each in enumerate(getattr(holder, attribute)):
            here = (*path, number, index)
            name = f"{prefix}.{each.name}" if prefix else each.name
            yield here, name
            yield from _named(each, _PARTS_OF.get(attribute, ()), here, name)
