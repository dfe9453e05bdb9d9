"""Tells from an error of PostgreSQL what has become of a statement or a transaction."""

from __future__ import annotations

import psycopg

from services.kernel.db.connection import NoAnswer
from services.kernel.errors import CommitUnknown, DatabaseUnavailable

# Serialization failure and deadlock: the server has rolled back.
_CONFLICTS = ("40001", "40P01")
# The connection broke (08), a time limit ended the transaction and its session (25P), the
# server shuts down, starts or ended the session (57P).
_ENDINGS = ("08", "25P", "57P")
_READ_ONLY = "25006"


class TryAgain(DatabaseUnavailable):
    """Nothing was committed, and the same may succeed now.

    After silence it may, too, but the caller has waited long enough.
    """


def failure_of(
    error: psycopg.Error, *, is_closed: bool, in_commit: bool = False
) -> DatabaseUnavailable | None:
    """Return the error for the caller, or None if the statement itself is wrong.

    Args:
        error: The error that psycopg raised.
        is_closed: Whether the connection is closed now.
        in_commit: Whether COMMIT was sent.
    """
    sqlstate = error.sqlstate or ""
    if sqlstate in _CONFLICTS:
        return TryAgain()
    is_lost = (is_closed or sqlstate.startswith(_ENDINGS)) and not isinstance(error, NoAnswer)
    is_refused = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    if not (is_lost or is_refused or sqlstate == _READ_ONLY):
        return None
    if in_commit:
        return CommitUnknown()
    return TryAgain() if is_lost else DatabaseUnavailable()


def must_leave(error: psycopg.Error) -> bool:
    """Return whether the session is over, or is at a server that cannot write."""
    return (error.sqlstate or "").startswith((*_ENDINGS, _READ_ONLY))
