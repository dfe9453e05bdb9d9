"""How long each method may take, and how a caller's deadline is passed on."""

import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import MappingProxyType
from typing import TypeVar

import grpc
from lockstep_clients.details import path_of, with_timeout
from lockstep_clients.errors import DeadlineExceeded

Request = TypeVar("Request")
Response = TypeVar("Response")

DEFAULT_SECONDS = 5.0
# What a server keeps of its caller's time, to answer in when a call of its own runs out.
MARGIN_SECONDS = 0.02

_AUTH = "/lockstep.auth.v1.AuthService"
_PROFILE = "/lockstep.profile.v1.ProfileService"
_WALLET = "/lockstep.profile.v1.WalletService"
_CATALOG = "/lockstep.commerce.v1.CatalogService"
_ORDER = "/lockstep.commerce.v1.OrderService"

SECONDS = MappingProxyType(
    {
        # Asked on behalf of a waiting caller: better no answer than a late one.
        f"{_AUTH}/CheckSession": 2.0,
        f"{_PROFILE}/PhoneExists": 2.0,
        # Steps of sagas: one try; the saga tries again.
        f"{_PROFILE}/CreateProfile": 3.0,
        f"{_PROFILE}/CancelProfile": 3.0,
        f"{_PROFILE}/SetProfileStatus": 3.0,
        f"{_PROFILE}/ForgetProfile": 3.0,
        f"{_WALLET}/DebitWallet": 3.0,
        f"{_WALLET}/VoidTransfer": 3.0,
        f"{_WALLET}/RefundWallet": 3.0,
        f"{_ORDER}/ForgetUser": 3.0,
        # Whole sagas.
        f"{_AUTH}/Register": 10.0,
        f"{_AUTH}/VerifyOtp": 10.0,
        f"{_AUTH}/DeleteUser": 10.0,
        f"{_ORDER}/PlaceOrder": 10.0,
        f"{_ORDER}/CancelOrder": 10.0,
        # Behind the queue for hashing passwords, which is slow on purpose.
        f"{_AUTH}/SendOtp": 10.0,
        f"{_AUTH}/Login": 10.0,
        f"{_AUTH}/ChangeEmail": 10.0,
        f"{_AUTH}/ResetPassword": 10.0,
        f"{_AUTH}/ChangePassword": 10.0,
        # A thousand products in one transaction.
        f"{_CATALOG}/BatchCreateProducts": 10.0,
    }
)

# When the caller of the running code stops waiting, on the clock of `time.monotonic`;
# None: nobody waits.
current_deadline: ContextVar[float | None] = ContextVar("lockstep_budget", default=None)


def timeout_seconds(path: str, given: float | None) -> float:
    """Return how long a call may take: the least of its table entry, what the caller
    gave, and what is left of `current_deadline`. Zero or less: there is no time for it.
    """
    seconds = SECONDS.get(path, DEFAULT_SECONDS)
    if given is not None:
        seconds = min(seconds, given)
    deadline = current_deadline.get()
    if deadline is not None:
        seconds = min(seconds, deadline - time.monotonic() - MARGIN_SECONDS)
    return seconds


class DeadlineInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives every call a deadline, and refuses to send one that has no time left."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[
            [grpc.aio.ClientCallDetails, Request],
            Awaitable[grpc.aio.UnaryUnaryCall[Request, Response]],
        ],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Request,
    ) -> grpc.aio.UnaryUnaryCall[Request, Response]:
        """Set the timeout.

        Raises:
            DeadlineExceeded: Nothing is left; nothing was sent.
        """
        seconds = timeout_seconds(path_of(client_call_details), client_call_details.timeout)
        if seconds <= 0:
            raise DeadlineExceeded(
                "Too little time is left to make the call.", reason="DEADLINE_EXCEEDED"
            )
        return await continuation(with_timeout(client_call_details, seconds), request)
