"""One call as the servicers see it: who calls, until when, and under which ids."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from uuid import UUID

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from lockstep.options.v1 import options_pb2 as options_pb

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class UserPrincipal:
    """A user, proven by an access token.

    Attributes:
        id: The user's id.
        session_id: The session that the token belongs to.
        role: What Auth says the user is now, not what the token says.
    """

    id: UUID
    session_id: UUID
    role: str

    @property
    def is_admin(self) -> bool:
        """Whether the user is an administrator."""
        return self.role == ADMIN


@dataclass(frozen=True, slots=True)
class ServicePrincipal:
    """A service, proven by a token that it signed with its own key."""

    name: str


Principal = UserPrincipal | ServicePrincipal | None


@dataclass(frozen=True, slots=True)
class Method:
    """What the descriptor says of an RPC."""

    path: str
    name: str
    request: type[Message]
    access: options_pb.Access.ValueType
    callers: frozenset[str]
    takes_idempotency_key: bool
    fresh_session: bool

    @classmethod
    def of(cls, descriptor: MethodDescriptor) -> Method:
        """Read a method's options.

        Raises:
            TypeError: It doesn't say who may call it.
        """
        options = descriptor.GetOptions()
        assert isinstance(options, MethodOptions)
        rule = options.Extensions[options_pb.method]
        service = descriptor.containing_service.full_name
        if rule.access == options_pb.ACCESS_UNSPECIFIED:
            raise TypeError(
                f"{service}.{descriptor.name} declares no access: add the method option"
            )
        if rule.access == options_pb.ACCESS_SERVICE and not rule.callers:
            raise TypeError(f"{service}.{descriptor.name} is for services but names no callers")
        return cls(
            path=f"/{service}/{descriptor.name}",
            name=descriptor.name,
            request=GetMessageClass(descriptor.input_type),
            access=rule.access,
            callers=frozenset(rule.callers),
            takes_idempotency_key=rule.idempotency_key,
            fresh_session=rule.fresh_session,
        )


@dataclass(slots=True)
class Call:
    """A call under way; the interceptors fill it in.

    Attributes:
        method: The RPC.
        metadata: The caller's metadata, keys in lower case; of a repeated key the last.
        message: The request as it came, still bytes.
        remaining_seconds: What the transport says is left; None without a deadline.
        request_id: Given by the caller or made here; for following a request.
        trace_id: The W3C trace id (32 hexadecimal digits).
        deadline: When the caller stops waiting, on the clock of `time.monotonic`.
        principal: Who calls; None for anybody.
        client_address: The address of the person, when the gateway vouches for it.
        peer: The transport's word for the other end.
    """

    method: Method
    metadata: dict[str, str]
    message: bytes
    remaining_seconds: float | None = None
    request_id: str = ""
    trace_id: str = ""
    deadline: float = field(default_factory=lambda: time.monotonic() + 10.0)
    principal: Principal = None
    client_address: str | None = None
    peer: str = ""

    @property
    def user(self) -> UserPrincipal:
        """The calling user; only for methods that need one."""
        assert isinstance(self.principal, UserPrincipal)
        return self.principal

    @property
    def scope(self) -> str:
        """Whose idempotency keys these are."""
        match self.principal:
            case UserPrincipal(id=user_id):
                return f"user:{user_id}"
            case ServicePrincipal(name=name):
                return f"service:{name}"
            case _:
                return "anonymous"

    def remaining(self) -> float:
        """Return how many seconds are left, perhaps below zero."""
        return self.deadline - time.monotonic()
