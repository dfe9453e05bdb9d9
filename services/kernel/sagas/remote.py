"""Calls to other services, as steps of sagas and as use cases see them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import grpc
from lockstep_clients.errors import LockstepError

from services.kernel.errors import DomainError, ErrorRecord, RecordedError, Unavailable
from services.kernel.sagas.protocol import Rejected

# Only these say that the step was not done; anything else means "maybe done".
_EXPLICIT = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.ABORTED,
}


@contextlib.contextmanager
def saga_step() -> Iterator[None]:
    """Turn a participant's explicit refusal into `Rejected`; let all else be a maybe."""
    try:
        yield
    except LockstepError as error:
        if error.code in _EXPLICIT:
            raise Rejected(as_domain_error(error)) from error
        raise


@contextlib.contextmanager
def needed(unavailable: type[Unavailable]) -> Iterator[None]:
    """Turn any failure of a call that nothing can go on without into UNAVAILABLE."""
    try:
        yield
    except LockstepError as error:
        raise unavailable from error


def as_domain_error(error: LockstepError) -> DomainError:
    """Return the error of another service, to be passed on to the caller."""
    return RecordedError(
        ErrorRecord(
            code=error.code,
            reason=error.reason,
            message=error.message,
            metadata={k: v for k, v in error.metadata.items() if k != "trace_id"},
            violations=tuple((v.field, v.description) for v in error.violations),
            retry_after_seconds=error.retry_after_seconds,
        )
    )
