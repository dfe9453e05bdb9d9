"""The errors that each method documents, in the comments of its proto."""

from __future__ import annotations

import re
from functools import cache

from lockstep.errors.v1.error_reason_pb2 import ErrorReason

from tests.faults.rows import ROOT

REASONS = frozenset(ErrorReason.keys())
_BLOCK = r"((?:^ *//[^\n]*\n)+)"
_SERVICE = re.compile(_BLOCK + r"^service (\w+) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_RPC = re.compile(_BLOCK + r"^  rpc (\w+)\(", re.MULTILINE)
_THOSE_OF = re.compile(r"those of (\w+)")
_WORD = re.compile(r"\b[A-Z][A-Z_]+\b")


@cache
def reasons() -> dict[str, frozenset[str]]:
    """Return the reasons that each method may answer, by the method's name."""
    found: dict[str, frozenset[str]] = {}
    also: dict[str, list[str]] = {}
    for path in sorted((ROOT / "protos").rglob("*_service.proto")):
        for comment, _, body in _SERVICE.findall(path.read_text()):
            for own, name in _RPC.findall(body):
                found[name] = _named(comment) | _named(own)
                also[name] = _THOSE_OF.findall(own)
    return {name: found[name].union(*(found[other] for other in also[name])) for name in found}


def _named(comment: str) -> frozenset[str]:
    return REASONS & set(_WORD.findall(comment))
