"""The keys of one service, as its process gets them."""

from __future__ import annotations

from pathlib import Path

from services.common import key_files


def own_keys(keys: Path, service: str) -> Path:
    """Return a folder with the keys of one service alone."""
    return key_files.view(keys, service, at=keys.parent / "own-keys" / service)


def all_keys(own: Path, service: str) -> Path:
    """Return the folder that the keys of one service are from."""
    return (own / service).resolve().parent
