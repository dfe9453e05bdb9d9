"""All of Profile's SQL, a file for each aggregate."""

from services.profile.store import transfers

CLEANUPS = (transfers.OLD_TOMBSTONES,)
