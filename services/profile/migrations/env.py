"""Run by Alembic for every command on this history."""

from services.kernel.db.migrations import run
from services.profile.model import METADATA

run(METADATA)
