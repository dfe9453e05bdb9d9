"""All of Auth's SQL, in one file for each aggregate."""

from services.auth.store import api_keys, audit, code_limits, codes, credentials, places, sessions

CLEANUPS = (
    sessions.EXPIRED,
    api_keys.OLD,
    credentials.OLD_FAILURES,
    places.OLD_KNOWN,
    places.OLD_OF_PLACES,
    places.OLD_OF_ACCOUNTS,
    codes.OLD,
    code_limits.OLD,
    audit.OLD,
)
