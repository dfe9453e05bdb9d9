"""The violations of a request, field by field."""

from __future__ import annotations

from typing import Final

VIOLATIONS_MAX: Final = 50
"""Further violations are left out, because people read the answer."""


class BindingViolations:
    """Collect the wrong fields of a request by their JSON names."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []

    def add(self, field: str, description: str) -> None:
        """Note that a field is wrong; the description continues its name."""
        if len(self.found) < VIOLATIONS_MAX:
            self.found.append((field, description))

    def raise_any(self) -> None:
        """Raise BadRequest if there is a violation."""
        if self.found:
            raise BadRequest(self.found)


class BadRequest(ValueError):
    """The request has wrong fields: pairs of a JSON name and a description."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name} {reason}" for name, reason in fields))
        self.fields: Final = fields


def joined(path: str, name: str) -> str:
    """Return the path of a field inside of `path`."""
    return f"{path}.{name}" if path else name
