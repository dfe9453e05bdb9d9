"""A service whose methods stand in several servicers."""

from __future__ import annotations

from typing import Any


class JoinedServicer:
    """Has the methods of several servicers.

    Args:
        parts: The servicers. No two have a method of the same RPC.
    """

    def __init__(self, *parts: object) -> None:
        self._parts = parts

    def __getattr__(self, name: str) -> Any:
        """Return the method of the part that has it.

        Raises:
            AttributeError: No part has it.
            TypeError: More than one part has it.
        """
        found = [part for part in self._parts if hasattr(part, name)]
        if len(found) > 1:
            raise TypeError(f"{name} stands in {', '.join(type(each).__name__ for each in found)}")
        if not found:
            raise AttributeError(name)
        return getattr(found[0], name)
