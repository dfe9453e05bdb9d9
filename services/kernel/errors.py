"""Errors of the domain: what a use case raises and a caller is told.

Use cases raise these; the outermost interceptor alone turns them into a status
(AIP-193: one ErrorInfo, a BadRequest for fields, a RetryInfo where waiting helps).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import grpc

DOMAIN = "lockstep"
FIELDS_NAMED_MAX = 10


@dataclass(frozen=True, slots=True)
class Violation:
    """One wrong field: its path in the request, and what would be right."""

    field: str
    description: str


class DomainError(Exception):
    """An expected failure, with a text that the caller may read.

    Args:
        message: For the caller; names the remedy, holds no internals.
        metadata: Facts that a program may want, as ErrorInfo.metadata.
        violations: The wrong fields, all of them.
        retry_after_seconds: How long to wait before another try helps.
    """

    code: ClassVar[grpc.StatusCode]
    reason: ClassVar[str]
    text: ClassVar[str] = ""

    def __init__(
        self,
        message: str = "",
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        """See the class."""
        self.message = message or self.text
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after_seconds = retry_after_seconds
        super().__init__(self.message)

    def record(self) -> dict[str, Any]:
        """Return the error as JSON, to be kept with a saga or a stored reply."""
        return {
            "code": self.code.name,
            "reason": self.reason,
            "message": self.message,
            "metadata": self.metadata,
            "violations": [[v.field, v.description] for v in self.violations],
            "retry_after_seconds": self.retry_after_seconds,
        }


class InvalidArgument(DomainError):
    """The request is wrong whatever the state of the system."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_FIELD"


class NotFound(DomainError):
    """There is no such thing."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(DomainError):
    """Something unique is taken."""

    code = grpc.StatusCode.ALREADY_EXISTS


class Aborted(DomainError):
    """Something else is going on with the same thing; trying again may help."""

    code = grpc.StatusCode.ABORTED


class FailedPrecondition(DomainError):
    """The state of the system does not allow it."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class OutOfRange(DomainError):
    """Beyond what can be asked for."""

    code = grpc.StatusCode.OUT_OF_RANGE


class Unauthenticated(DomainError):
    """Nobody knows who is calling."""

    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(DomainError):
    """The caller is known, but may not."""

    code = grpc.StatusCode.PERMISSION_DENIED


class ResourceExhausted(DomainError):
    """Too much was asked for; waiting helps."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(DomainError):
    """Something that is needed did not answer; trying again may help."""

    code = grpc.StatusCode.UNAVAILABLE


class InvalidField(InvalidArgument):
    """One or more fields are wrong.

    Args:
        *violations: Each wrong field, once for each thing wrong with it.
    """

    def __init__(self, *violations: Violation) -> None:
        """See the class."""
        names = list(dict.fromkeys(v.field for v in violations))
        more = ", ..." if len(names) > FIELDS_NAMED_MAX else ""
        named = ", ".join(names[:FIELDS_NAMED_MAX]) + more
        super().__init__(f"Invalid: {named}. See the field violations.", violations=violations)


class Forbidden(PermissionDenied):
    """Not yours, or not your role."""

    reason = "FORBIDDEN"
    text = "You may not do this."


class InvalidToken(Unauthenticated):
    """The token is missing, malformed, expired or not ours."""

    reason = "INVALID_TOKEN"
    text = "A valid access token is needed: log in, and send it as `Authorization: Bearer <token>`."


class SessionEnded(Unauthenticated):
    """The session of a good token is over."""

    reason = "SESSION_ENDED"
    text = "This session has ended. Log in again."


class TooManyRequests(ResourceExhausted):
    """A limit on the number of requests was met."""

    reason = "TOO_MANY_REQUESTS"
    text = "Too many requests. Try again later."


class DeadlineExceeded(DomainError):
    """The time that the caller gave is too short, or is over."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"
    text = "The deadline is too near or has passed. Allow more time."


class DatabaseUnavailable(Unavailable):
    """The database did not answer in time, or the connection to it was lost."""

    reason = "DATABASE_UNAVAILABLE"
    text = "The database did not answer in time. Try again."


class CommitUnknown(DatabaseUnavailable):
    """The connection was lost while a commit was under way: it may have happened."""


class EtagMismatch(Aborted):
    """The resource has changed since it was read."""

    reason = "ETAG_MISMATCH"
    text = "The resource has changed since it was read. Read it again and repeat the change."


class RequestInProgress(Aborted):
    """The same request, by its idempotency key, is still running."""

    reason = "REQUEST_IN_PROGRESS"
    text = "This request is still running. Repeat it with the same idempotency key."


class IdempotencyKeyReused(InvalidArgument):
    """The idempotency key belongs to another request."""

    reason = "IDEMPOTENCY_KEY_REUSED"
    text = "This idempotency key was used for another request. Use a new key."


class SagaCancelled(Aborted):
    """A step of a saga came after the saga was cancelled, or too late."""

    reason = "SAGA_CANCELLED"
    text = "The saga was cancelled or its time is over."


class SagaNotFound(NotFound):
    """There is no such saga here."""

    reason = "SAGA_NOT_FOUND"
    text = "There is no such saga."


class IllegalState(FailedPrecondition):
    """The resource's state does not allow this."""

    reason = "ILLEGAL_STATE"
    text = "The state of the resource does not allow this."


class Internal(DomainError):
    """Something unexpected; the log has the rest."""

    code = grpc.StatusCode.INTERNAL
    reason = "INTERNAL"
    text = "Something went wrong. The trace id leads to the log."


class RecordedError(DomainError):
    """An error that was kept with a saga or a stored reply, raised again."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        """Restore what `DomainError.record` returned."""
        super().__init__(
            record["message"],
            metadata=record["metadata"],
            violations=[Violation(*violation) for violation in record["violations"]],
            retry_after_seconds=record["retry_after_seconds"],
        )
        # The instance carries what its siblings carry as a class.
        self.code = grpc.StatusCode[record["code"]]  # type: ignore[misc]
        self.reason = record["reason"]  # type: ignore[misc]
