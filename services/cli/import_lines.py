"""The lines of a file with accounts to import: a JSON object each."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

from lockstep.auth.v1 import auth_service_pb2 as auth_pb

LINE_BYTES_MAX: Final = 64 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_FIELDS: Final = {
    name: field.name
    for field in auth_pb.ImportUserRequest.DESCRIPTOR.fields
    for name in (field.name, field.json_name)
}
_BOOLEANS: Final = ("email_verified",)


@dataclass(frozen=True, slots=True, repr=False)
class Line:
    """A line of the file.

    Attributes:
        number: Its number, from 1.
        size: Its length in bytes, with the blank lines before it.
        request: The account; None when the line cannot be read.
        fault: What is wrong with such a line, and what must be there.
    """

    number: int
    size: int
    request: auth_pb.ImportUserRequest | None = None
    fault: str = ""


class _Fault(Exception):
    """What is wrong with a line."""


def read_lines(file: IO[bytes]) -> Iterator[Line]:
    """Read the lines of a file that are not blank, one after the other."""
    skipped = 0
    for number, (raw, size) in enumerate(_raw_lines(file), start=1):
        text = raw.removeprefix(_BOM) if number == 1 else raw
        if not text.strip():
            skipped += size
            continue
        try:
            yield Line(number, size + skipped, request=_request(text))
        except _Fault as fault:
            yield Line(number, size + skipped, fault=str(fault))
        skipped = 0


def _raw_lines(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield lines, of which a too long one is cut, and their lengths."""
    while raw := file.readline(LINE_BYTES_MAX + 2):
        size, part = len(raw), raw
        while not part.endswith(b"\n") and (part := file.readline(LINE_BYTES_MAX)):
            size += len(part)
        yield raw, size


def _request(raw: bytes) -> auth_pb.ImportUserRequest:
    if len(raw.rstrip(b"\r\n")) > LINE_BYTES_MAX:
        raise _Fault(f"must have {LINE_BYTES_MAX} bytes at most")
    try:
        found = json.loads(raw.decode(), object_pairs_hook=_once)
    except UnicodeDecodeError:
        raise _Fault("must be UTF-8") from None
    except (ValueError, RecursionError):
        raise _Fault('must be a JSON object such as {"email": "ada@example.com", ..}') from None
    if not isinstance(found, dict):
        raise _Fault('must be a JSON object such as {"email": "ada@example.com", ..}')
    return auth_pb.ImportUserRequest(**{_FIELDS[name]: found[name] for name in found})


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Check the fields of an object, whose values are not told: they may be hashes."""
    seen: set[str] = set()
    for name, value in pairs:
        field = _FIELDS.get(name)
        if field is None:
            known = ", ".join(dict.fromkeys(_FIELDS.values()))
            raise _Fault(f"has an unknown field {name!a}: must be one of {known}")
        if field in seen:
            raise _Fault(f"has {field} twice: must be there once")
        if field in _BOOLEANS and not isinstance(value, bool):
            raise _Fault(f"{field} must be true or false")
        if field not in _BOOLEANS and not isinstance(value, str):
            raise _Fault(f"{field} must be a text: leave it out if there is none")
        if isinstance(value, str) and _is_broken(value):
            raise _Fault(f"{field} must be text without lone surrogates")
        seen.add(field)
    return dict(pairs)


def _is_broken(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
