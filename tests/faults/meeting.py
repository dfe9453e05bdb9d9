"""Two requests that meet: the other one goes as far as it can at an edge of the first."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep.commerce.v1 import cart_service_pb2_grpc as cart_grpc
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep.commerce.v1 import catalog_service_pb2_grpc as catalog_grpc
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc
from lockstep_clients import LockstepError

from services.kernel.rpc.call import Principal, UserPrincipal
from tests.faults.accounts import administrator
from tests.faults.orders import STOCK
from tests.faults.scenario import CODE, PASSWORD, Outcome, Scenario
from tests.faults.wire import Wire

# The quantity in the cart of a guest: less than in the cart that it is merged into.
MERGED = 2
# What a request may be told that meets faults, whatever it meets besides.
BY_FAULTS = {"PROFILE_UNAVAILABLE", "ETAG_MISMATCH"}


@dataclass(frozen=True, slots=True)
class Request:
    """One of two requests.

    Attributes:
        method: Its name, as edges have it.
        refusals: The reasons for which the other may have it refused.
        refusals_when_aged: Further ones, where a schedule lets rows age.
        by_admin: Whether an administrator sends it.
    """

    method: str
    refusals: Collection[str] = ()
    refusals_when_aged: Collection[str] = ()
    by_admin: bool = False


class Meeting(Scenario):
    """Two requests about one person. Each is sent once: what comes after both is another story.

    Attributes:
        first: The request at whose edges the other comes.
        other: The other one.
    """

    is_repeated = False
    first: ClassVar[Request]
    other: ClassVar[Request]
    person: UserPrincipal

    def prepare(self) -> None:
        super().prepare()
        self.person = self.make_person()
        self.principal = self._principal_of(self.first)
        self.other_task: asyncio.Task[None] | None = None
        self.other_outcome = Outcome("unknown", "not asked")

    def make_person(self) -> UserPrincipal:
        """Make what the two requests need besides, and return whom they are about."""
        return cast(UserPrincipal, self.principal)

    def _principal_of(self, request: Request) -> Principal:
        return administrator() if request.by_admin else self.person

    async def ask(self, wire: Any) -> Any:
        return await self.send(self.first, wire)

    async def send(self, request: Request, wire: Any) -> Any:
        """Send one of the two requests."""
        return await SENT[request.method](self, wire)

    def meet(self) -> asyncio.Task[None]:
        """Send the other request, once."""
        if self.other_task is None:
            self.other_task = asyncio.get_running_loop().create_task(
                self._ask_other(), context=contextvars.Context()
            )
            self.world.run.watch(self.other_task)
        return self.other_task

    async def _ask_other(self) -> None:
        principal = self._principal_of(self.other)
        metadata = {"idempotency-key": f"other-{self.key}"}
        wire = cast(Any, Wire(self.world, self.world.run.client, principal, metadata))
        try:
            answer = await self.send(self.other, wire)
        except LockstepError as error:
            self.other_outcome = Outcome.of(error)
        else:
            self.other_outcome = Outcome("ok", answer=answer)

    def unfinished(self) -> int:
        """Return what there is left to do; where the two did not meet, the other comes now."""
        return super().unfinished() + (not self.meet().done())

    def outcomes(self, first: Outcome) -> Iterator[tuple[Request, Outcome]]:
        """Yield each request with what its client was told."""
        yield self.first, first
        yield self.other, self.other_outcome

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        for request, told in self.outcomes(outcome):
            expected = {*request.refusals, *BY_FAULTS}
            if self.world.is_aged():
                expected.update(request.refusals_when_aged)
            if told.kind == "fail" and told.reason not in expected:
                yield f"{request.method} was told {told.reason}"
            if told.reason == "INTERNAL":
                yield f"{request.method} failed in a way that nobody thought of"

    def told(self, method: str, outcome: Outcome) -> set[str]:
        """Return what the clients of a method were told."""
        return {told.kind for request, told in self.outcomes(outcome) if request.method == method}

    def happened(self) -> bool:
        return True


# --- how each request is sent


async def _cancel(scenario: Any, wire: Any) -> Any:
    return await order_grpc.OrderServiceStub(wire).CancelOrder(
        order_pb.CancelOrderRequest(order_id=str(scenario.order))
    )


async def _cancel_part(scenario: Any, wire: Any) -> Any:
    return await order_grpc.OrderServiceStub(wire).CancelOrder(
        order_pb.CancelOrderRequest(order_id=str(scenario.order), items=[_one(scenario)])
    )


async def _fulfil(scenario: Any, wire: Any) -> Any:
    return await order_grpc.OrderServiceStub(wire).FulfilOrder(
        order_pb.FulfilOrderRequest(order_id=str(scenario.order))
    )


async def _return(scenario: Any, wire: Any) -> Any:
    return await order_grpc.OrderServiceStub(wire).RefundOrder(
        order_pb.RefundOrderRequest(
            order_id=str(scenario.order), items=[_one(scenario)], reason="Too small."
        )
    )


def _one(scenario: Any) -> order_pb.RefundItem:
    return order_pb.RefundItem(product_id=str(scenario.product), quantity=1)


async def _place(scenario: Any, wire: Any) -> Any:
    return await order_grpc.OrderServiceStub(wire).PlaceOrder(order_pb.PlaceOrderRequest())


async def _merge(scenario: Any, wire: Any) -> Any:
    guest = [cart_pb.GuestItem(product_id=str(scenario.product), quantity=MERGED)]
    return await cart_grpc.CartServiceStub(wire).MergeCart(cart_pb.MergeCartRequest(items=guest))


async def _create(scenario: Any, wire: Any) -> Any:
    product = catalog_pb.Product(
        name=f"Lamp {scenario.number}",
        category_id="00000000-0000-8000-8000-00000000000c",
        stock=STOCK,
    )
    product.price.currency_code = "USD"
    return await catalog_grpc.CatalogServiceStub(wire).CreateProduct(
        catalog_pb.CreateProductRequest(product=product)
    )


async def _delete(scenario: Any, wire: Any) -> Any:
    return await auth_grpc.AuthServiceStub(wire).DeleteUser(
        auth_pb.DeleteUserRequest(user_id=str(scenario.user), forfeit_balance=True)
    )


async def _disable(scenario: Any, wire: Any) -> Any:
    return await auth_grpc.AuthServiceStub(wire).DisableUser(
        auth_pb.DisableUserRequest(user_id=str(scenario.user))
    )


async def _verify(scenario: Any, wire: Any) -> Any:
    return await auth_grpc.AuthServiceStub(wire).VerifyEmail(
        auth_pb.VerifyEmailRequest(flow_id=str(scenario.flow), email=scenario.email, otp=CODE)
    )


async def _register(scenario: Any, wire: Any) -> Any:
    return await auth_grpc.AuthServiceStub(wire).Register(
        auth_pb.RegisterRequest(
            email=scenario.email,
            password=PASSWORD,
            full_name="Ada Lovelace",
            phone_number=scenario.phone,
        )
    )


async def _sign_up(scenario: Any, wire: Any) -> Any:
    return await auth_grpc.AuthServiceStub(wire).VerifyOtp(
        auth_pb.VerifyOtpRequest(flow_id=str(scenario.flow), email=scenario.email, otp=CODE)
    )


async def _reset(scenario: Any, wire: Any) -> Any:
    return await auth_grpc.AuthServiceStub(wire).RequestPasswordReset(
        auth_pb.RequestPasswordResetRequest(email=scenario.email)
    )


SENT = {
    "CancelOrder": _cancel,
    "CancelOrder of a part": _cancel_part,
    "FulfilOrder": _fulfil,
    "RefundOrder": _return,
    "PlaceOrder": _place,
    "MergeCart": _merge,
    "CreateProduct": _create,
    "DeleteUser": _delete,
    "DisableUser": _disable,
    "VerifyEmail": _verify,
    "Register": _register,
    "VerifyOtp": _sign_up,
    "RequestPasswordReset": _reset,
}
