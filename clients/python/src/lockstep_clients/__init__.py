"""Call Lockstep over gRPC with its deadlines, retries, credentials and typed errors.

channel = connect("127.0.0.1:50051")
auth = AuthServiceStub(channel)
reply = await auth.Login(LoginRequest(email=email, password=password))
user = await auth.GetUser(GetUserRequest(user_id="me"), metadata=bearer(reply.token))
"""

from lockstep_clients.blocking import connect_blocking
from lockstep_clients.channels import connect
from lockstep_clients.credentials import ServiceIdentity, bearer
from lockstep_clients.errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    Internal,
    InvalidArgument,
    LockstepError,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Unknown,
    from_rpc_error,
)
from lockstep_clients.tls import TlsFiles

__all__ = [
    "Aborted",
    "AlreadyExists",
    "Cancelled",
    "DataLoss",
    "DeadlineExceeded",
    "FailedPrecondition",
    "FieldViolation",
    "Internal",
    "InvalidArgument",
    "LockstepError",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "ResourceExhausted",
    "ServiceIdentity",
    "TlsFiles",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Unknown",
    "bearer",
    "connect",
    "connect_blocking",
    "from_rpc_error",
]
