"""The SQL of Profile, in a file for each aggregate."""

from services.profile.store import transfers
from services.profile.store.profiles import FORGETTING

CLEANUPS = (transfers.OLD_TOMBSTONES, *FORGETTING.cleanups)
