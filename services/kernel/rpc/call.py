"""A call as the servicers see it: its principal, its deadline and its ids."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from lockstep.options.v1 import options_pb2 as options_pb

from services.kernel.errors import Forbidden
from services.kernel.rpc.client_ips import parse_client_ip
from services.kernel.rpc.peers import CertificateFacts

ADMIN = "admin"
USER_SCOPE = "user:"
"""Begins the scope of a user's idempotency keys, before the id."""


@dataclass(frozen=True, slots=True)
class UserPrincipal:
    """A user, proven by an access token.

    Attributes:
        id: The user's id.
        session_id: The token's session.
        role: The user's role now; the role in the token may be old.
        api_key_id: The API key by which the user is proven instead; `session_id` is its id then.
        lacks_mfa: Whether the session lacks the second factor that administrators need here.
    """

    id: UUID
    session_id: UUID
    role: str
    api_key_id: UUID | None = None
    lacks_mfa: bool = False

    @property
    def is_admin(self) -> bool:
        """Whether the user acts as an administrator."""
        return self.role == ADMIN and not self.lacks_mfa

    @property
    def own_id(self) -> UUID:
        """The user whose data the caller owns."""
        return self.id

    @property
    def own_session_id(self) -> UUID:
        """The session of the call."""
        return self.session_id

    @property
    def acts_for_all(self) -> bool:
        """Whether the caller may act on the data of every user."""
        return self.is_admin

    @property
    def actor(self) -> str:
        """The name of the caller in the audit log."""
        return str(self.id)


@dataclass(frozen=True, slots=True)
class ServicePrincipal:
    """A service, proven by a token that it signed with its own key.

    A method admits only the services that it names, and each of them acts for all users.
    """

    name: str

    @property
    def own_id(self) -> None:
        """None: a service owns no user's data."""
        return

    @property
    def own_session_id(self) -> None:
        """None: a service has no session."""
        return

    @property
    def acts_for_all(self) -> bool:
        """Whether the caller may act on the data of every user."""
        return True

    @property
    def actor(self) -> str:
        """The name of the caller in the audit log."""
        return self.name


Caller = UserPrincipal | ServicePrincipal
Principal = Caller | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Who calls, and from where, as the audit log has it.

    Attributes:
        actor: The id of the user, or the name of the service; None for an anonymous caller.
        client_ip: None when the caller is a service, or is not known to have one.
    """

    actor: str | None
    client_ip: str | None


@dataclass(frozen=True, slots=True)
class Method:
    """The facts about an RPC that its descriptor states."""

    path: str
    name: str
    request: type[Message]
    access: options_pb.Access.ValueType
    callers: frozenset[str]
    takes_idempotency_key: bool
    fresh_session: bool
    is_for_persons: bool
    calls_a_minute: int
    streams: bool = False

    @classmethod
    def of(cls, descriptor: MethodDescriptor) -> Method:
        """Read a method's options.

        Raises:
            TypeError: The method has no access rule, or one that admits nobody.
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
            raise TypeError(
                f"{service}.{descriptor.name} is for services but names no callers: add them"
            )
        return cls(
            path=f"/{service}/{descriptor.name}",
            name=descriptor.name,
            request=GetMessageClass(descriptor.input_type),
            access=rule.access,
            callers=frozenset(rule.callers),
            takes_idempotency_key=rule.idempotency_key,
            fresh_session=rule.fresh_session,
            is_for_persons=rule.person,
            calls_a_minute=rule.calls_a_minute,
            streams=descriptor.server_streaming,
        )


@dataclass(slots=True)
class Call:
    """A call in progress, which the layers complete one after the other.

    Attributes:
        method: The called RPC.
        metadata: The caller's metadata, with keys in lower case. Of a repeated key the last
            value counts.
        repeated: The keys that have come more than once.
        message: The request, still encoded.
        remaining_seconds: The time that the transport says is left; None without a deadline.
        request_id: The id that follows the request, from the caller or made here.
        trace_id: The W3C trace id (32 hexadecimal digits).
        deadline: The time, on the clock of `time.monotonic`, when the caller stops waiting.
        principal: The proven caller; None for an anonymous one.
        client_ip: The client's IP by the word of a proxy, else the transport's peer.
        peer: The other end of the connection, as the transport names it.
        certificate: Tells what the certificate of the other end says. It copies that, so
            it is asked only where it matters.
        send: Sends an answer of a stream, once the caller has taken those before.
        leaving: Is set when the server stops: then a stream ends.
        admit: Checks the access rule again, as long streams must.
        is_idle: Whether it only found that there is nothing new. Such calls come every second.
    """

    method: Method
    metadata: dict[str, str]
    message: bytes
    remaining_seconds: float | None = None
    request_id: str = ""
    trace_id: str = ""
    deadline: float = field(default_factory=lambda: time.monotonic() + 10.0)
    principal: Principal = None
    client_ip: str | None = None
    peer: str = ""
    repeated: frozenset[str] = frozenset()
    certificate: Callable[[], CertificateFacts] = dict
    send: Callable[[bytes], Awaitable[None]] | None = None
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    admit: Callable[[], Awaitable[None]] | None = None
    is_idle: bool = False

    @property
    def user(self) -> UserPrincipal:
        """The calling user; only for methods that need one.

        Raises:
            Forbidden: A service calls, and the method is about the caller's own data.
        """
        if isinstance(self.principal, ServicePrincipal):
            raise Forbidden("Only a user can call this method.")
        assert isinstance(self.principal, UserPrincipal)
        return self.principal

    @property
    def caller(self) -> Caller:
        """The caller, a user or a service; only for methods that need a principal."""
        assert self.principal is not None
        return self.principal

    @property
    def service(self) -> ServicePrincipal:
        """The calling service; only for methods that admit services alone."""
        assert isinstance(self.principal, ServicePrincipal)
        return self.principal

    @property
    def actor(self) -> str:
        """The name of the caller in the audit log; only for methods that need a principal."""
        return self.caller.actor

    @property
    def origin(self) -> Origin:
        """The caller in the audit log. Of a service no IP is told: it is no client."""
        match self.principal:
            case ServicePrincipal(name=name):
                return Origin(name, None)
            case UserPrincipal(id=user_id):
                return Origin(str(user_id), parse_client_ip(self.client_ip))
            case _:
                return Origin(None, parse_client_ip(self.client_ip))

    @property
    def scope(self) -> str:
        """The owner of the call's idempotency key: two principals may use the same key."""
        match self.principal:
            case UserPrincipal(id=user_id):
                return f"{USER_SCOPE}{user_id}"
            case ServicePrincipal(name=name):
                return f"service:{name}"
            case _:
                return "anonymous"

    def remaining(self) -> float:
        """Return how many seconds are left; below zero after the deadline."""
        return self.deadline - time.monotonic()


Handler = Callable[[Call], Awaitable[bytes]]
