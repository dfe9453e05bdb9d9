"""All SQL of Commerce, one file an aggregate."""

from services.commerce.store import users

CLEANUPS = (users.LATE_KEYS, users.OLD_TOMBSTONES)
