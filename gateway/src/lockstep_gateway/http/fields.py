"""The header fields of a request: one way to read them (RFC 9110 5.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

Headers = Sequence[tuple[bytes, bytes]]

# The lines of these fields are one list.
LISTS: Final = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"access-control-request-headers",
        b"connection",
        b"content-encoding",
        b"expect",
        b"if-match",
        b"if-none-match",
        b"te",
        b"tracestate",
        b"transfer-encoding",
        b"x-forwarded-for",
    }
)
# A request that has one of these fields twice has several meanings. It is refused.
ONCE: Final = frozenset(
    {
        b"access-control-request-method",
        b"authorization",
        b"connect-timeout-ms",
        b"content-length",
        b"content-type",
        b"grpc-timeout",
        b"host",
        b"idempotency-key",
        b"origin",
        b"request-timeout",
    }
)


class Fields:
    """The fields of a request by their names, which are in lower case.

    Attributes:
        lines: The lines as they came.
        repeated: The names that came more than once.
    """

    __slots__ = ("_joined", "lines", "repeated")

    def __init__(self, lines: Headers) -> None:
        self.lines: Final = lines
        self.repeated: Final = set[bytes]()
        self._joined: Final = dict[bytes, bytes]()
        for name, value in lines:
            if name in self._joined:
                self.repeated.add(name)
                self._joined[name] += b", " + value
            else:
                self._joined[name] = value

    def __contains__(self, name: bytes) -> bool:
        return name in self._joined

    def text(self, name: bytes) -> str:
        """Return a field's value, or "" without it.

        The lines of a list are joined. Another field that came twice has no value.
        """
        if name in self.repeated and name not in LISTS:
            return ""
        return self.joined(name).decode("latin-1")

    def joined(self, name: bytes) -> bytes:
        """Return all lines of a field, separated by commas, or nothing without it.

        A recipient may join the lines of any field that it does not know.
        """
        return self._joined.get(name, b"")

    def refused(self) -> list[str]:
        """Return the names of the fields that came twice and must not."""
        return sorted(name.decode() for name in self.repeated & ONCE) if self.repeated else []
