"""Typed errors, which a failed call raises.

Lockstep describes its errors by google.rpc.Status with the details of AIP-193. Branch on
the class or on the reason, never on the message.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

Request = TypeVar("Request")
Response = TypeVar("Response")
Detail = TypeVar("Detail", bound=Message)


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A wrong field: its path in the request, and a description of a right value."""

    field: str
    description: str


class LockstepError(Exception):
    """A failed call. The subclass follows from the status code.

    Attributes:
        code: The gRPC status code.
        reason: A name of `lockstep.errors.v1.ErrorReason`; empty when the answer did not
            come from Lockstep, such as when the service was not reached.
        message: A text for people.
        metadata: Facts about the failure, by name.
        violations: All wrong fields.
        retry_after_seconds: How long to wait before another try can help; None when the
            service did not say.
        trace_id: The id to look for in the service's log; empty when there is none.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str = "",
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[FieldViolation] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = list(violations)
        self.retry_after_seconds = retry_after_seconds
        self.trace_id = self.metadata.get("trace_id", "")
        super().__init__(message)

    def __str__(self) -> str:
        """Return one line with the code, the reason and the message."""
        name = " ".join(part for part in (self.code.name, self.reason) if part)
        return f"{name}: {self.message}" if self.message else name


class Cancelled(LockstepError):
    """CANCELLED."""

    code = grpc.StatusCode.CANCELLED


class Unknown(LockstepError):
    """UNKNOWN."""


class InvalidArgument(LockstepError):
    """INVALID_ARGUMENT: `violations` names the wrong fields."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class DeadlineExceeded(LockstepError):
    """DEADLINE_EXCEEDED: the request may have taken effect all the same."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class NotFound(LockstepError):
    """NOT_FOUND."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(LockstepError):
    """ALREADY_EXISTS."""

    code = grpc.StatusCode.ALREADY_EXISTS


class PermissionDenied(LockstepError):
    """PERMISSION_DENIED."""

    code = grpc.StatusCode.PERMISSION_DENIED


class ResourceExhausted(LockstepError):
    """RESOURCE_EXHAUSTED: wait for `retry_after_seconds`."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class FailedPrecondition(LockstepError):
    """FAILED_PRECONDITION: the same request fails until the state of the system changes."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class Aborted(LockstepError):
    """ABORTED: another request interfered; try again from the start."""

    code = grpc.StatusCode.ABORTED


class OutOfRange(LockstepError):
    """OUT_OF_RANGE."""

    code = grpc.StatusCode.OUT_OF_RANGE


class Unimplemented(LockstepError):
    """UNIMPLEMENTED."""

    code = grpc.StatusCode.UNIMPLEMENTED


class Internal(LockstepError):
    """INTERNAL: `trace_id` leads to the log."""

    code = grpc.StatusCode.INTERNAL


class Unavailable(LockstepError):
    """UNAVAILABLE: try again."""

    code = grpc.StatusCode.UNAVAILABLE


class DataLoss(LockstepError):
    """DATA_LOSS."""

    code = grpc.StatusCode.DATA_LOSS


class Unauthenticated(LockstepError):
    """UNAUTHENTICATED."""

    code = grpc.StatusCode.UNAUTHENTICATED


_CLASSES = {kind.code: kind for kind in LockstepError.__subclasses__()}


def from_rpc_error(error: Any) -> LockstepError:
    """Return the typed form of a gRPC error, without details of unknown types.

    Args:
        error: An error of a call, of grpc or of grpc.aio.
    """
    status = _status(error)
    info = _detail(status, ErrorInfo)
    request = _detail(status, BadRequest)
    retry = _detail(status, RetryInfo)
    return _CLASSES.get(error.code(), Unknown)(
        error.details() or "",
        reason=info.reason if info else "",
        metadata=info.metadata if info else None,
        violations=[
            FieldViolation(violation.field, violation.description)
            for violation in (request.field_violations if request else ())
        ],
        retry_after_seconds=retry.retry_delay.ToNanoseconds() / 1e9 if retry else None,
    )


def _status(error: Any) -> Status:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                return Status.FromString(value)
            except DecodeError:
                break
    return Status()


def _detail(status: Status, kind: type[Detail]) -> Detail | None:
    return next((d for any_ in status.details if (d := _unpacked(any_, kind)) is not None), None)


def _unpacked(packed: AnyMessage, kind: type[Detail]) -> Detail | None:
    message = kind()
    try:
        return message if packed.Unpack(message) else None
    except DecodeError:
        return None


class ErrorInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Makes calls raise `LockstepError`, whose cause is the gRPC error."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[
            [grpc.aio.ClientCallDetails, Request],
            Awaitable[grpc.aio.UnaryUnaryCall[Request, Response]],
        ],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Request,
    ) -> grpc.aio.UnaryUnaryCall[Request, Response]:
        """Await the answer, and raise its error."""
        call = await continuation(client_call_details, request)
        try:
            await call
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        return call
