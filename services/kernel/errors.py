"""Errors of the domain, which a use case raises and its caller receives.

The outermost layer alone turns them into a status (AIP-193: one ErrorInfo, a BadRequest
for wrong fields, a RetryInfo where waiting helps).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import grpc
import pydantic
import structlog
from pydantic import (
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
)

log = structlog.get_logger("lockstep.errors")

DOMAIN = "lockstep"
FIELDS_NAMED_MAX = 10


@dataclass(frozen=True, slots=True)
class Violation:
    """A wrong field: its path in the request, and a description of a right value."""

    field: str
    description: str


def _code(value: object) -> object:
    if isinstance(value, str) and value in grpc.StatusCode.__members__:
        return grpc.StatusCode[value]
    return value


_Code = Annotated[grpc.StatusCode, BeforeValidator(_code), PlainSerializer(lambda code: code.name)]
# The same request is refused in the same way for as long as its key is kept. Nothing else
# is: it follows from the request alone, or may pass.
_KEPT = frozenset(
    {
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
    }
)


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class ErrorRecord:
    """An error as it is kept with a saga, a barrier or an idempotency key.

    Attributes:
        violations: A field's path and its description, for each wrong field.
    """

    code: _Code
    reason: str
    message: str
    metadata: dict[str, str]
    violations: tuple[tuple[str, str], ...]
    retry_after_seconds: float | None

    @property
    def is_kept(self) -> bool:
        """Whether a repeat of the request gets this answer again."""
        return self.code in _KEPT

    def to_json(self) -> dict[str, object]:
        """Return the record as JSON."""
        return _RECORD.dump_python(self, mode="json")  # type: ignore[no-any-return] # of a dataclass

    @staticmethod
    def from_json(kept: object) -> ErrorRecord:
        """Restore what `to_json` returned; anything else counts as an unexpected failure."""
        try:
            return _RECORD.validate_python(kept)
        except ValidationError:
            # Without the traceback, whose text quotes the value.
            log.error("a stored error is malformed")  # noqa: TRY400
            return Internal().record()


_RECORD = TypeAdapter(ErrorRecord)


class DomainError(Exception):
    """An expected failure, with a text that the caller may read.

    Args:
        message: The text for the caller: it names the remedy and shows no internals.
        metadata: Facts for programs, sent as ErrorInfo.metadata.
        violations: All wrong fields.
        retry_after_seconds: How long to wait before another try can help; by default the
            `usual_wait_seconds` of the class.
    """

    # Not ClassVar: a RecordedError has those of the error that it restores.
    code: grpc.StatusCode
    reason: str
    text: ClassVar[str] = ""
    usual_wait_seconds: ClassVar[float | None] = None

    def __init__(
        self,
        message: str = "",
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        self.message = message or self.text
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after_seconds = (
            self.usual_wait_seconds if retry_after_seconds is None else retry_after_seconds
        )
        super().__init__(self.message)

    def record(self) -> ErrorRecord:
        """Return the error as it is kept."""
        return ErrorRecord(
            code=self.code,
            reason=self.reason,
            message=self.message,
            metadata=self.metadata,
            violations=tuple((v.field, v.description) for v in self.violations),
            retry_after_seconds=self.retry_after_seconds,
        )


class InvalidArgument(DomainError):
    """The request is wrong in any state of the system."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_FIELD"


class NotFound(DomainError):
    """There is no such thing."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(DomainError):
    """A value that must be unique is taken."""

    code = grpc.StatusCode.ALREADY_EXISTS


class Aborted(DomainError):
    """Another request works on the same resource; another try may help."""

    code = grpc.StatusCode.ABORTED


class FailedPrecondition(DomainError):
    """The state of the system does not allow the request."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class OutOfRange(DomainError):
    """The request goes beyond the end of a valid range."""

    code = grpc.StatusCode.OUT_OF_RANGE


class Unauthenticated(DomainError):
    """The caller is not proven."""

    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(DomainError):
    """The caller is proven, but not allowed."""

    code = grpc.StatusCode.PERMISSION_DENIED


class ResourceExhausted(DomainError):
    """The caller has used up a limit; waiting helps."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(DomainError):
    """A needed service or database did not answer; another try may help."""

    code = grpc.StatusCode.UNAVAILABLE


class InvalidField(InvalidArgument):
    """One or more fields are wrong.

    Args:
        *violations: The violations; a field may have several.
    """

    def __init__(self, *violations: Violation) -> None:
        names = list(dict.fromkeys(v.field for v in violations))
        more = ", ..." if len(names) > FIELDS_NAMED_MAX else ""
        named = ", ".join(names[:FIELDS_NAMED_MAX]) + more
        super().__init__(f"Invalid: {named}. See the field violations.", violations=violations)


class Forbidden(PermissionDenied):
    """The resource is another user's, or the caller's role does not allow the request."""

    reason = "FORBIDDEN"
    text = "You may not do this."


class MfaRequired(PermissionDenied):
    """The caller is an administrator whose session lacks a second factor."""

    reason = "MFA_REQUIRED"
    text = "Administrators need a second factor here. Add one, and log in with it."


class InvalidToken(Unauthenticated):
    """The token is missing, malformed, expired, or signed by an unknown key."""

    reason = "INVALID_TOKEN"
    text = "A valid access token is needed: log in, and send it as `Authorization: Bearer <token>`."


class SessionEnded(Unauthenticated):
    """The token is valid, but its session has ended."""

    reason = "SESSION_ENDED"
    text = "This session has ended. Log in again."


class TooManyRequests(ResourceExhausted):
    """The caller has reached a limit on the number of requests.

    Attributes:
        account: The pseudonym of the account whose limit it is, for the audit log alone.
    """

    reason = "TOO_MANY_REQUESTS"
    text = "Too many requests. Try again later."
    account: str | None = None


class DeadlineExceeded(DomainError):
    """The caller's deadline is too near or has passed."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"
    text = "The deadline is too near or has passed. Allow more time."


class Stopping(Unavailable):
    """The server stops, and the call took longer than the stop may."""

    reason = "UPSTREAM_UNAVAILABLE"
    text = "The service is stopping. Try again."


class DatabaseUnavailable(Unavailable):
    """The database did not answer in time, or the connection to it was lost."""

    reason = "DATABASE_UNAVAILABLE"
    text = "The database did not answer in time. Try again."


class CommitUnknown(DatabaseUnavailable):
    """The connection was lost during a commit, which may have taken effect."""


class EtagMismatch(Aborted):
    """The resource has changed since the caller read it."""

    reason = "ETAG_MISMATCH"
    text = "The resource has changed since it was read. Read it again and repeat the change."


class RequestInProgress(Aborted):
    """A request with this idempotency key is still running."""

    reason = "REQUEST_IN_PROGRESS"
    text = "This request is still running. Repeat it with the same idempotency key."


class IdempotencyKeyReused(InvalidArgument):
    """The caller used this idempotency key for another request."""

    reason = "IDEMPOTENCY_KEY_REUSED"
    text = "This idempotency key was used for another request. Use a new key."


class SagaCancelled(Aborted):
    """The step came after its saga was cancelled, or after its time limit."""

    reason = "SAGA_CANCELLED"
    text = "The saga was cancelled or its time is over."


class SagaNotFound(NotFound):
    """This coordinator has no such saga."""

    reason = "SAGA_NOT_FOUND"
    text = "There is no such saga."


class IllegalState(FailedPrecondition):
    """The state of the resource does not allow the request."""

    reason = "ILLEGAL_STATE"
    text = "The state of the resource does not allow this."


class Internal(DomainError):
    """An unexpected failure, whose details are in the log."""

    code = grpc.StatusCode.INTERNAL
    reason = "INTERNAL"
    text = "Something went wrong. The trace id leads to the log."


class RecordedError(DomainError):
    """An error that was stored with a saga or an idempotency key, raised again."""

    def __init__(self, record: ErrorRecord) -> None:
        """Restore what `DomainError.record` returned."""
        super().__init__(
            record.message,
            metadata=record.metadata,
            violations=[Violation(*pair) for pair in record.violations],
            retry_after_seconds=record.retry_after_seconds,
        )
        self.code = record.code
        self.reason = record.reason
