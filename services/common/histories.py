"""The migrations of services, by their files."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def migrations_of(service: str) -> Path | None:
    """Return the folder of a service's migrations, or None when it has none."""
    spec = find_spec(f"services.{service}")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "migrations"
    return folder if (folder / "env.py").exists() else None


def newest_revision(history: Path) -> str:
    """Return the newest revision, by the names of the files."""
    return max(file.stem.partition("_")[0] for file in (history / "versions").glob("[0-9]*.py"))
