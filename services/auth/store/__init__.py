"""All of Auth's SQL, in one file for each aggregate."""

from services.auth.store import (
    api_keys,
    code_limits,
    codes,
    credentials,
    places,
    sessions,
    webhook_deliveries,
)
from services.kernel.db import cleaner

CLEANUPS = (
    cleaner.ENDED_SAGAS,
    cleaner.OLD_KEYS,
    cleaner.OLD_AUDIT,
    sessions.EXPIRED,
    api_keys.OLD,
    credentials.OLD_FAILURES,
    places.OLD_KNOWN,
    places.OLD_OF_PLACES,
    places.OLD_OF_ACCOUNTS,
    codes.OLD,
    code_limits.OLD,
    webhook_deliveries.OLD,
)
