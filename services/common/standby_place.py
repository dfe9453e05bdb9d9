"""Where standbys are: a part of the settings, which are read without a database."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StandbyPlace:
    """Where a service finds standbys of its database, and how far a read there may be behind."""

    url: str
    behind_seconds: float
