"""The folder of the mail sink: what is old goes, because it may hold codes."""

import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

KEPT = timedelta(days=30)
"""How long the sink keeps mail by itself."""


def prune(folder: Path, *, older_than: timedelta) -> int:
    """Delete old mail, and what a killed sink left of a mail; return the number of mails."""
    oldest = time.time() - older_than.total_seconds()
    deleted = 0
    for path in [*folder.glob("*.eml"), *folder.glob(".*.tmp")]:
        with suppress(FileNotFoundError):  # another process was faster
            if path.stat().st_mtime < oldest:
                path.unlink()
                deleted += path.suffix == ".eml"
    return deleted
