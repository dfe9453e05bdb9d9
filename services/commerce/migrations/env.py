"""Alembic's way into Commerce's tables."""

from services.commerce.model import METADATA
from services.kernel.db.migrations import run

run(METADATA)
