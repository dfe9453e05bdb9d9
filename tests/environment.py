"""The environment of processes that tests start."""

from __future__ import annotations

import os

from services.common.settings import variable


def without_settings() -> dict[str, str]:
    """Return the environment of this process without settings of Lockstep."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LOCKSTEP_")}


def variables(**fields: str) -> dict[str, str]:
    """Return the variables of settings, given by the names of their fields."""
    return {variable(name): value for name, value in fields.items()}
