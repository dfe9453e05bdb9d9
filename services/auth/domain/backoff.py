"""Pauses between attempts that fail."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

DOUBLINGS_MAX: Final = 30


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double with each failure in a row.

    Attributes:
        first: The longest pause after the first failure.
        longest: The longest pause of all.
    """

    first: timedelta
    longest: timedelta

    def after(self, failures: int) -> timedelta:
        """Return a pause; chance spreads attempts that have failed together.

        Args:
            failures: The failures in a row, 1 after the first.
        """
        doublings = min(failures - 1, DOUBLINGS_MAX)
        return min(self.longest, self.first * 2.0**doublings) * random.uniform(0.5, 1.0)
