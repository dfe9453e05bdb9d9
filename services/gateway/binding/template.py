"""The path templates of `google/api/http.proto`, parsed.

Template = "/" Segments [ Verb ] ;
Segments = Segment { "/" Segment } ;
Segment  = "*" | "**" | LITERAL | Variable ;
Variable = "{" FieldPath [ "=" Segments ] "}" ;
FieldPath = IDENT { "." IDENT } ;
Verb     = ":" LITERAL ;
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

ANY: Final = "*"
REST: Final = "**"

_IDENT = r"[A-Za-z_][A-Za-z0-9_]*"
_FIELD_PATH = re.compile(rf"{_IDENT}(?:\.{_IDENT})*")
# RFC 3986: pchar without the colon, which starts a verb, and without the wildcard "*".
_LITERAL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()+,;=@]|%[0-9A-Fa-f]{2})+")


class TemplateError(ValueError):
    """Say what is wrong with a path template."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A field that takes the segments from `start` to before `end`, or with None to the last."""

    field_path: str
    start: int
    end: int | None
    multi: bool


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template.

    Attributes:
        segments: Decoded literals and wildcards.
        verb: The verb, or "" for none.
        variables: The variables, in their order.
    """

    segments: tuple[str | Wildcard, ...]
    verb: str
    variables: tuple[Variable, ...]


@dataclass(frozen=True, slots=True)
class Wildcard:
    """`*`, which takes one segment, or `**`, which takes the rest."""

    rest: bool


def parse(text: str) -> Template:
    """Parse a template.

    Raises:
        TemplateError: The grammar does not allow it, `**` is not last, or a variable comes twice.
    """
    return _Parser(text).template()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._segments: list[str | Wildcard] = []
        self._variables: list[Variable] = []

    def template(self) -> Template:
        self._expect("/")
        self._read_segments(variables_allowed=True)
        verb = ""
        if self._accept(":"):
            verb = self._literal()
        if self._at != len(self._text):
            raise self._error("unexpected text")
        self._check()
        return Template(tuple(self._segments), verb, tuple(self._variables))

    def _read_segments(self, *, variables_allowed: bool) -> None:
        self._read_segment(variables_allowed=variables_allowed)
        while self._accept("/"):
            self._read_segment(variables_allowed=variables_allowed)

    def _read_segment(self, *, variables_allowed: bool) -> None:
        if self._accept(REST):
            self._segments.append(Wildcard(rest=True))
        elif self._accept(ANY):
            self._segments.append(Wildcard(rest=False))
        elif self._accept("{"):
            if not variables_allowed:
                raise self._error("a variable cannot hold a variable")
            self._read_variable()
        else:
            self._segments.append(self._literal())

    def _read_variable(self) -> None:
        match = _FIELD_PATH.match(self._text, self._at)
        if match is None:
            raise self._error("expected a field path")
        self._at = match.end()
        start = len(self._segments)
        if self._accept("="):
            self._read_segments(variables_allowed=False)
        else:
            self._segments.append(Wildcard(rest=False))
        self._expect("}")
        bound = self._segments[start:]
        rest = any(isinstance(each, Wildcard) and each.rest for each in bound)
        end = None if rest else len(self._segments)
        self._variables.append(Variable(match.group(), start, end, multi=rest or len(bound) > 1))

    def _check(self) -> None:
        for segment in self._segments[:-1]:
            if isinstance(segment, Wildcard) and segment.rest:
                raise self._error("`**` must be the last segment")
        paths = [variable.field_path for variable in self._variables]
        if len(set(paths)) != len(paths):
            raise self._error("a variable comes twice")

    def _literal(self) -> str:
        match = _LITERAL.match(self._text, self._at)
        if match is None:
            raise self._error("expected a segment")
        self._at = match.end()
        try:
            return unquote(match.group(), errors="strict")
        except UnicodeDecodeError:
            raise self._error("escapes must be UTF-8") from None

    def _accept(self, token: str) -> bool:
        if self._text.startswith(token, self._at):
            self._at += len(token)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._accept(token):
            raise self._error(f"expected `{token}`")

    def _error(self, reason: str) -> TemplateError:
        return TemplateError(f"path template `{self._text}`: {reason} at position {self._at}")
