"""The path templates of `google/api/http.proto`, parsed.

Template = "/" Segments [ Verb ] ;
Segments = Segment { "/" Segment } ;
Segment  = "*" | "**" | LITERAL | Variable ;
Variable = "{" FieldPath [ "=" Segments ] "}" ;
FieldPath = IDENT { "." IDENT } ;
Verb     = ":" LITERAL ;

Beyond that grammar this reads what other transcoders read: "/" alone, a verb with colons, and
`**` in front of further segments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
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
    """A field that takes the segments from `start` to before `end`, or with None to the last.

    Negative positions count from the end of a path, as in slices: they lie behind a `**`.
    """

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

    @property
    def rest(self) -> int:
        """The position of `**`, or the number of segments if there is none."""
        places = (i for i, each in enumerate(self.segments) if each == Wildcard(rest=True))
        return next(places, len(self.segments))

    def variable_at(self, index: int) -> Variable | None:
        """Return the variable that takes the segment of this index in the template."""
        indexes = range(len(self.segments))
        held = (each for each in self.variables if index in indexes[each.start : each.end])
        return next(held, None)


@dataclass(frozen=True, slots=True)
class Wildcard:
    """`*`, which takes one segment, or `**`, which takes the rest."""

    rest: bool


def parse(text: str) -> Template:
    """Parse a template.

    Raises:
        TemplateError: The grammar does not allow it, or `**` or a variable comes twice.
    """
    if text == "/":
        return Template(("",), "", ())
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
            while self._accept(":"):
                verb += ":" + self._literal()
        if self._at != len(self._text):
            raise self._error("unexpected text")
        self._check()
        template = Template(tuple(self._segments), verb, ())
        variables = (_from_the_end(each, template) for each in self._variables)
        return replace(template, variables=tuple(variables))

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
        multi = len(bound) > 1 or Wildcard(rest=True) in bound
        self._variables.append(Variable(match.group(), start, len(self._segments), multi))

    def _check(self) -> None:
        if self._segments.count(Wildcard(rest=True)) > 1:
            raise self._error("`**` comes twice")
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


def _from_the_end(variable: Variable, template: Template) -> Variable:
    """Count positions behind `**` from the end, because it takes any number of segments."""
    count, rest = len(template.segments), template.rest
    start, end = variable.start, variable.end
    if end is None or end <= rest:
        return variable
    return replace(
        variable,
        start=start if start <= rest else start - count,
        end=end - count if end < count else None,
    )
