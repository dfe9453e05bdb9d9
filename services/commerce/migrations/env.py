"""Alembic's way into Commerce's tables."""

from services.commerce.model import METADATA
from services.kernel.migrations import run

run(METADATA)
