"""The routes: a tree of segments that finds the most specific route of a path.

The depth of a node is a position in the path, from its start, or behind `**` from its end. So a
look-up visits each node once at most. The number of routes and the length of the path bound its
work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar
from urllib.parse import unquote_to_bytes

from lockstep_gateway.binding.template import Template, Variable, Wildcard

ANY_METHOD: Final = "*"
HEAD_CANDIDATES: Final = ("HEAD", "GET", ANY_METHOD)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"(%2[Ff])")

T = TypeVar("T")


class BadPathError(ValueError):
    """Say what is wrong with the escapes of a path, in words that continue its name."""


class DuplicateRouteError(ValueError):
    """Two routes have the same method and path; `other` was added first."""

    def __init__(self, other: Any) -> None:
        super().__init__(str(other))
        self.other: Final = other


@dataclass(slots=True)
class _End(Generic[T]):
    """The routes that end at a node: target and variables by method."""

    by_method: dict[str, tuple[T, tuple[Variable, ...]]] = field(default_factory=dict)


@dataclass(slots=True)
class _Node(Generic[T]):
    literals: dict[str, _Node[T]] = field(default_factory=dict)
    any: _Node[T] | None = None
    ends: dict[str, _End[T]] = field(default_factory=dict)
    # The segments behind a `**`, from the last to the first.
    rest: _Node[T] | None = None


@dataclass(frozen=True, slots=True)
class Match(Generic[T]):
    """A route, and the decoded values of its variables by field path."""

    target: T
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OtherMethods:
    """The path exists, but only under these methods."""

    methods: frozenset[str]


class Router(Generic[T]):
    """Map a method and a path to a route."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._verbs: set[str] = set()
        self._colons = 0

    def add(self, method: str, template: Template, target: T) -> None:
        """Add a route; the method `*` stands for every method without a route of its own.

        Raises:
            DuplicateRouteError: There is a route for this method and path.
        """
        node, rest = self._root, template.rest
        for segment in template.segments[:rest]:
            node = _child(node, segment)
        if rest < len(template.segments):
            node.rest = node = node.rest or _Node()
            for segment in reversed(template.segments[rest + 1 :]):
                node = _child(node, segment)
        end = node.ends.setdefault(template.verb, _End())
        if method in end.by_method:
            raise DuplicateRouteError(end.by_method[method][0])
        end.by_method[method] = (target, template.variables)
        if template.verb:
            self._verbs.add(template.verb)
            self._colons = max(self._colons, 1 + template.verb.count(":"))

    def find(self, method: str, raw_path: str) -> Match[T] | OtherMethods | None:
        """Find the most specific route: literals before `*` before `**`.

        A GET route also serves HEAD.

        Args:
            method: The HTTP method.
            raw_path: The path from its first slash, with its escapes.

        Raises:
            BadPathError: An escape of the path is malformed or not UTF-8.
        """
        for path, verb in self._splits(raw_path):
            found = self._find(method, path, verb)
            if found is not None:
                return found
        return None

    def _splits(self, raw_path: str) -> Iterator[tuple[str, str]]:
        """Split a path from its verb in every way, from the longest verb to none.

        A verb that no rule has on this path belongs to the last segment.
        """
        parts = raw_path.rsplit(":", self._colons)
        for index in range(1, len(parts)):
            path, verb = ":".join(parts[:index]), ":".join(parts[index:])
            if verb in self._verbs and not path.endswith("/"):
                yield path, verb
        yield raw_path, ""

    def _find(self, method: str, path: str, verb: str) -> Match[T] | OtherMethods | None:
        if not path.startswith("/"):
            return None
        raw = path[1:].split("/")
        decoded = raw if "%" not in path else [_decode(each) for each in raw]
        candidates = HEAD_CANDIDATES if method == "HEAD" else (method, ANY_METHOD)
        others: set[str] = set()
        for end in _ends(self._root, decoded, verb):
            for entry in filter(None, map(end.by_method.get, candidates)):
                target, variables = entry
                values = {each.field_path: _value(each, raw, decoded) for each in variables}
                return Match(target, values)
            others |= end.by_method.keys()
        return OtherMethods(frozenset(others)) if others else None


def _child(node: _Node[T], segment: str | Wildcard) -> _Node[T]:
    if isinstance(segment, Wildcard):
        if node.any is None:
            node.any = _Node()
        return node.any
    return node.literals.setdefault(segment, _Node())


def _ends(root: _Node[T], segments: list[str], verb: str) -> Iterator[_End[T]]:
    """Walk the tree depth first: a step is a node, its position, and whether `**` matches there."""
    stack: list[tuple[_Node[T], int, bool]] = [(root, 0, False)]
    count = len(segments)
    while stack:
        node, at, is_rest = stack.pop()
        if is_rest:
            yield from _ends_behind(node, segments, at, count, verb)
            continue
        if at == count and verb in node.ends:
            yield node.ends[verb]
        if node.rest is not None:
            stack.append((node.rest, at, True))
        if at == count:
            continue
        if node.any is not None and segments[at]:
            stack.append((node.any, at + 1, False))
        literal = node.literals.get(segments[at])
        if literal is not None:
            stack.append((literal, at + 1, False))


def _ends_behind(
    node: _Node[T], segments: list[str], first: int, end: int, verb: str
) -> Iterator[_End[T]]:
    """Walk from the segment before `end` back to the one at `first`. The longest way wins."""
    if end > first:
        last = segments[end - 1]
        literal = node.literals.get(last)
        if literal is not None:
            yield from _ends_behind(literal, segments, first, end - 1, verb)
        if node.any is not None and last:
            yield from _ends_behind(node.any, segments, first, end - 1, verb)
    if verb in node.ends:
        yield node.ends[verb]


def _value(variable: Variable, raw: list[str], decoded: list[str]) -> str:
    if not variable.multi:
        return decoded[variable.start]
    segments = raw[variable.start : variable.end]
    return "/".join(_decode_keeping_slashes(each) for each in segments)


def _decode(segment: str) -> str:
    if "%" not in segment:
        return segment
    if _BAD_ESCAPE.search(segment):
        raise BadPathError("must have two hexadecimal digits after each percent sign")
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise BadPathError("must be UTF-8 when its escapes are decoded") from None


def _decode_keeping_slashes(segment: str) -> str:
    """Decode all escapes but `%2F`, which would look like a separator."""
    if "%" not in segment:
        return segment
    return "".join(
        part if part in ("%2F", "%2f") else _decode(part) for part in _ESCAPE.split(segment)
    )
