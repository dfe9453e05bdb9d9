"""Names of the document that code generators turn into identifiers and files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_OTHER = re.compile(r"[^A-Za-z0-9_]+")


def camel(parts: Iterable[str]) -> str:
    """Join names into one: `product`, `id` to `productId`."""
    first, *rest = [*parts, ""]
    return _OTHER.sub("_", first + "".join(each[:1].upper() + each[1:] for each in rest))


def pascal(full_name: str) -> str:
    """Join the parts of a full name: `acme.v1.Book` to `AcmeV1Book`."""
    return "".join(each[:1].upper() + each[1:] for each in full_name.split("."))


class UniqueNames:
    """Give each thing one name.

    Two names that differ only in case or in underscores count as one: a generator may make the
    same identifier of both, and some file systems the same file.

    Args:
        reserved: The names that nothing gets.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._owners: Final[dict[str, str]] = {_key(name): "" for name in reserved}
        self._names: Final[dict[str, str]] = {}

    def of(self, thing: str, *wanted: str) -> str:
        """Return the name of a thing: the first of these that is free, or else a numbered one."""
        if thing not in self._names:
            numbered = (f"{wanted[-1]}{count}" for count in range(2, len(self._owners) + 3))
            names = (each for each in (*wanted, *numbered) if _key(each) not in self._owners)
            name = self._names[thing] = next(names)
            self._owners[_key(name)] = thing
        return self._names[thing]


def _key(name: str) -> str:
    return name.replace("_", "").lower()
