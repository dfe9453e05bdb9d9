"""Alembic's way into Auth's tables."""

from services.auth.model import METADATA
from services.kernel.db.migrations import run

run(METADATA)
