"""Which errors of PostgreSQL mean what, before COMMIT and in it."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from services.kernel.db.connection import NoAnswer
from services.kernel.db.failure import TryAgain, failure_of, must_leave
from services.kernel.errors import CommitUnknown, DatabaseUnavailable

# The server has rolled back.
CONFLICTS = [errors.SerializationFailure, errors.DeadlockDetected]
# The session is over.
ENDINGS = [
    errors.ConnectionException,
    errors.ConnectionFailure,
    errors.ProtocolViolation,
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.DatabaseDropped,
    errors.IdleSessionTimeout,
    errors.IdleInTransactionSessionTimeout,
    errors.TransactionTimeout,
    errors.InFailedSqlTransaction,
]
REFUSALS = [
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.QueryCanceled,
    errors.LockNotAvailable,
    errors.ReadOnlySqlTransaction,
    errors.TooManyConnections,
    errors.OutOfMemory,
    errors.DiskFull,
    errors.IoError,
]
WRONG_STATEMENTS = [
    errors.UniqueViolation,
    errors.SyntaxError,
    errors.NumericValueOutOfRange,
    errors.InternalError_,
    psycopg.ProgrammingError,
]


@pytest.mark.parametrize(
    ("kinds", "before", "in_commit"),
    [
        (CONFLICTS, TryAgain, TryAgain),
        (ENDINGS, TryAgain, CommitUnknown),
        (REFUSALS, DatabaseUnavailable, CommitUnknown),
        (WRONG_STATEMENTS, None, None),
    ],
)
def test_an_error_says_what_has_become_of_a_transaction(
    kinds: list[type[psycopg.Error]], before: type[Exception] | None, in_commit: type | None
) -> None:
    for kind in kinds:
        assert _type(failure_of(kind(), is_closed=False)) is before, kind
        assert _type(failure_of(kind(), is_closed=False, in_commit=True)) is in_commit, kind


@pytest.mark.parametrize("kind", [*ENDINGS, *WRONG_STATEMENTS, psycopg.OperationalError])
def test_whatever_the_error_is_a_closed_connection_was_lost(kind: type[psycopg.Error]) -> None:
    assert _type(failure_of(kind(), is_closed=True)) is TryAgain
    assert _type(failure_of(kind(), is_closed=True, in_commit=True)) is CommitUnknown


def test_what_a_server_did_not_answer_is_not_repeated() -> None:
    assert _type(failure_of(NoAnswer(), is_closed=True)) is DatabaseUnavailable
    assert _type(failure_of(NoAnswer(), is_closed=True, in_commit=True)) is CommitUnknown


def test_a_server_that_has_rolled_back_a_commit_is_believed_though_it_has_gone() -> None:
    error = errors.SerializationFailure()
    assert _type(failure_of(error, is_closed=True, in_commit=True)) is TryAgain


@pytest.mark.parametrize("kind", [*ENDINGS, errors.ReadOnlySqlTransaction])
def test_a_session_that_is_over_or_cannot_write_is_left(kind: type[psycopg.Error]) -> None:
    assert must_leave(kind())


@pytest.mark.parametrize("kind", [*CONFLICTS, errors.QueryCanceled, errors.UniqueViolation])
def test_a_session_whose_statement_failed_is_kept(kind: type[psycopg.Error]) -> None:
    assert not must_leave(kind())


def _type(failure: Exception | None) -> type | None:
    return None if failure is None else type(failure)
