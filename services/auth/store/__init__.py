"""All of Auth's SQL, in one file for each aggregate."""

from services.auth.store import audit, codes, credentials, sessions

CLEANUPS = (
    sessions.EXPIRED,
    credentials.OLD_FAILURES,
    codes.OLD,
    codes.OLD_LIMITS,
    audit.OLD,
)
