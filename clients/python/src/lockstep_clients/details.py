"""Read the details of a call, and make changed copies of them, for interceptors."""

import grpc


def path_of(details: grpc.aio.ClientCallDetails) -> str:
    """Return the method as a path; grpc.aio passes bytes, although its types say str."""
    method: str | bytes = details.method
    return method.decode() if isinstance(method, bytes) else method


def with_timeout(
    details: grpc.aio.ClientCallDetails, timeout_seconds: float
) -> grpc.aio.ClientCallDetails:
    """Return the details with another timeout."""
    return grpc.aio.ClientCallDetails(
        details.method,
        timeout_seconds,
        details.metadata,
        details.credentials,
        details.wait_for_ready,
    )


def with_metadata(
    details: grpc.aio.ClientCallDetails, key: str, value: str
) -> grpc.aio.ClientCallDetails:
    """Return the details with one more piece of metadata; the caller's stay unchanged."""
    return grpc.aio.ClientCallDetails(
        details.method,
        details.timeout,
        grpc.aio.Metadata(*(details.metadata or ()), (key, value)),
        details.credentials,
        details.wait_for_ready,
    )
