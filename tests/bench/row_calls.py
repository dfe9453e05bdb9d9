"""Calls: over gRPC against a handler that does nothing, over REST against gRPC and Envoy."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path

from google.protobuf.message import Message
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep.commerce.v1 import cart_service_pb2_grpc as cart_grpc
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb

from tests.bench.lab import CHEAP, Lab
from tests.bench.load import IN_FLIGHT, Load, Target, apply, python_client, with_length
from tests.bench.people import Clients, Metadata, Person
from tests.bench.report import Finding, Ratio, at_least, at_most
from tests.bench.stack import OTHER_CORES, SERVICE_CORE, helper, processor_seconds, set_cores
from tests.gateway.envoy import envoy_running

PACKAGE = "/lockstep.commerce.v1."
SERVICES = ("CatalogService", "CartService")
PEOPLE, LINES = 16, 3
GOALS = {"GetProduct": 0.60, "ListProducts": 0.50, "GetCart": 0.50, "AddCartItem": 0.40}
REST_OF_GRPC, REST_OF_ENVOY, P99_OF_ENVOY = 0.60, 0.95, 1.30


async def grpc_calls(lab: Lab) -> list[Finding]:
    """Measure reads and an add, the service alone on a core, against a bare handler there."""
    rounds, seconds = lab.rounds(3.0)
    findings = []
    async with lab.running(**CHEAP) as to:
        shop = await Shop.with_carts(lab, to)
        lab.stack.pin("commerce")
        pids = lab.stack.pids("commerce")
        replies = shop.write_replies(lab.stack.home / "replies.json")
        async with helper("tests.bench.bare", str(replies), cores=SERVICE_CORE) as nothing:
            for name, targets in shop.targets.items():
                same = [each.at(nothing.endpoint) for each in targets]
                bare, own = [], []
                for turn in range(rounds):
                    lab.say(f"{name} over gRPC, {turn + 1} of {rounds}")
                    await shop.reset()
                    bare.append(await costly(same, seconds, [nothing.pid]))
                    own.append(await costly(targets, seconds, pids))
                findings.append(_grpc_finding(name, own, bare))
    return findings


async def rest_calls(lab: Lab) -> list[Finding]:
    """Measure reads over REST, by the gateway and by Envoy in its place.

    A client that only makes the same call through grpc.aio shows the least that a gateway in
    Python can take for it.
    """
    rounds, seconds = lab.rounds(3.0)
    findings = []
    async with lab.running(**CHEAP) as to, _envoy(lab) as (envoy, envoy_pid):
        shop = await Shop.with_carts(lab, to)
        lab.stack.pin("commerce")
        pids = lab.stack.pids("gateway")
        for name, path in shop.paths().items():
            targets = shop.targets[name]
            rest = await _over_rest(lab.stack.endpoint("gateway"), path, targets[0])
            through_envoy = await _over_rest(envoy, path, targets[0])
            found = _OverRest(name)
            for turn in range(rounds):
                lab.say(f"{name} over REST, {turn + 1} of {rounds}")
                found.direct.append(await _load(targets, seconds))
                found.gateway.append(await costly([rest], seconds, pids))
                found.envoy.append(await costly([through_envoy], seconds, [envoy_pid]))
                alone = await python_client(targets[0], seconds / 2, IN_FLIGHT, OTHER_CORES)
                found.alone.append(alone)
            findings += found.findings()
    return findings


@dataclass(frozen=True, slots=True)
class Costly:
    """A load, and the processor time that it took the server, in seconds."""

    load: Load
    seconds: float

    @property
    def per_core_second(self) -> float:
        """Return how many calls a core can serve in a second."""
        return self.load.requests / self.seconds


@dataclass(frozen=True, slots=True)
class Shop:
    """People with things in their carts, and the calls that they make.

    Attributes:
        targets: The calls; an add for each person, because adds to one cart wait for each other.
        replies_now: The present answer to each call.
    """

    cart: cart_grpc.CartServiceAsyncStub
    people: list[Person]
    product_id: str
    targets: dict[str, list[Target]]
    replies_now: dict[str, Message]

    @classmethod
    async def with_carts(cls, lab: Lab, to: Clients) -> Shop:
        """Put some products into each of a few carts."""
        people = await to.people(PEOPLE)
        page = await to.catalog.ListProducts(catalog_pb.ListProductsRequest())
        wanted = [product for product in page.products if product.stock][:LINES]
        for person in people:
            for product in wanted:
                request = cart_pb.AddCartItemRequest(product_id=product.id, quantity=1)
                cart = await to.cart.AddCartItem(request, metadata=person.metadata)
        get = catalog_pb.GetProductRequest(product_id=wanted[0].id)
        add = cart_pb.AddCartItemRequest(product_id=wanted[0].id, quantity=1)
        endpoint = lab.stack.endpoint("commerce")
        reading = people[0].metadata
        calls: dict[str, tuple[str, Message, Message, list[Metadata | tuple[()]]]] = {
            "GetProduct": ("CatalogService", get, wanted[0], [()]),
            "ListProducts": ("CatalogService", catalog_pb.ListProductsRequest(), page, [()]),
            "GetCart": ("CartService", cart_pb.GetCartRequest(), cart, [reading]),
            "AddCartItem": ("CartService", add, cart, [each.metadata for each in people]),
        }
        targets = {
            name: [
                Target(
                    endpoint=endpoint,
                    path=f"{PACKAGE}{service}/{name}",
                    message=request.SerializeToString(),
                    headers=headers,
                    reply_bytes=reply.ByteSize(),
                )
                for headers in callers
            ]
            for name, (service, request, reply, callers) in calls.items()
        }
        replies = {name: reply for name, (_, _, reply, _) in calls.items()}
        return cls(to.cart, people, wanted[0].id, targets, replies)

    async def reset(self) -> None:
        """Take back the added items, so that no cart gets full."""
        request = cart_pb.UpdateCartItemRequest(product_id=self.product_id, quantity=1)
        for person in self.people:
            await self.cart.UpdateCartItem(request, metadata=person.metadata)

    def write_replies(self, file: Path) -> Path:
        """Write the answers of the bare handler into its file."""
        replies = {
            targets[0].path: self.replies_now[name].SerializeToString().hex()
            for name, targets in self.targets.items()
        }
        file.write_text(json.dumps(replies))
        return file

    def paths(self) -> dict[str, str]:
        """Return the path over REST of each read."""
        return {
            "GetProduct": f"/v1/products/{self.product_id}",
            "ListProducts": "/v1/products",
            "GetCart": "/v1/cart",
        }


async def _over_rest(endpoint: str, path: str, call: Target) -> Target:
    return await with_length(replace(call, endpoint=endpoint, path=path, message=None))


@asynccontextmanager
async def _envoy(lab: Lab) -> AsyncIterator[tuple[str, int]]:
    names = [f"{PACKAGE[1:]}{each}" for each in SERVICES]
    with tempfile.TemporaryDirectory() as folder:
        descriptors = str(files("lockstep_clients").joinpath("lockstep.binpb"))
        upstream = lab.stack.ports["commerce"]
        async with envoy_running(Path(folder), Path(descriptors), names, upstream) as (port, pid):
            set_cores(pid, OTHER_CORES)
            yield f"127.0.0.1:{port}", pid


async def _load(targets: list[Target], seconds: float) -> Load:
    return await apply(targets, seconds=seconds, cores=OTHER_CORES)


async def costly(targets: list[Target], seconds: float, pids: list[int]) -> Costly:
    """Apply a load, and measure the processor time of the processes that serve it."""
    before = processor_seconds(pids)
    load = await _load(targets, seconds)
    return Costly(load, processor_seconds(pids) - before)


def _grpc_finding(name: str, own: list[Costly], bare: list[Costly]) -> Finding:
    """Judge by the processor time of a call: the rate of a core that has nothing else to do.

    The measured rate is lower when other work holds the calls up, such as a database that
    shares its core with the load.
    """
    measured = (
        f"{_cost(own)}; bare handler {_cost(bare)}; in all {_rate(_loads(own)):.0f}/s, "
        f"p99 {_p99(_loads(own)):.1f} ms, bare {_rate(_loads(bare)):.0f}/s"
    )
    ratio = Ratio.of([each.per_core_second for each in own], [b.per_core_second for b in bare])
    return at_least("grpc", f"{name} over gRPC", measured, ratio, GOALS[name])


@dataclass(frozen=True, slots=True)
class _OverRest:
    """The loads of one read, round by round: direct, by each gateway, and the call alone."""

    name: str
    direct: list[Load] = field(default_factory=list)
    gateway: list[Costly] = field(default_factory=list)
    envoy: list[Costly] = field(default_factory=list)
    alone: list[Load] = field(default_factory=list)

    def findings(self) -> list[Finding]:
        """Judge the gateway against gRPC and Envoy, and show what limits it."""
        gateway, envoy = _loads(self.gateway), _loads(self.envoy)
        of_grpc = Ratio.of(_rates(gateway), _rates(self.direct))
        of_envoy = Ratio.of(_rates(gateway), _rates(envoy))
        p99 = Ratio.of([each.p99 for each in gateway], [each.p99 for each in envoy])
        rates = (
            f"{_rate(gateway):.0f}/s; gRPC {_rate(self.direct):.0f}/s; Envoy {_rate(envoy):.0f}/s"
        )
        times = f"p99 {_p99(gateway):.1f} ms; Envoy {_p99(envoy):.1f} ms"
        over = f"{self.name} over REST"
        return [
            at_least("rest", f"{over}, of gRPC", rates, of_grpc, REST_OF_GRPC),
            at_least("rest", f"{over}, of Envoy", "the same run", of_envoy, REST_OF_ENVOY),
            at_most("rest", f"{over}, p99 of Envoy's", times, p99, P99_OF_ENVOY),
            Finding("rest", f"{over}, what limits it", self._limit(), "", "", is_met=None),
        ]

    def _limit(self) -> str:
        call = statistics.median(each.own_us for each in self.alone)
        return (
            f"{_cost(self.gateway)}, of which the call in grpc.aio alone takes {call:.0f} us;"
            f" Envoy {_cost(self.envoy)} in all"
        )


def _loads(costly: list[Costly]) -> list[Load]:
    """Return the loads without their costs."""
    return [each.load for each in costly]


def _cost(costly: list[Costly]) -> str:
    microseconds = statistics.median(1e6 / each.per_core_second for each in costly)
    return f"{microseconds:.0f} us of a core"


def _rates(loads: list[Load]) -> list[float]:
    return [load.per_second for load in loads]


def _rate(loads: list[Load]) -> float:
    return statistics.median(_rates(loads))


def _p99(loads: list[Load]) -> float:
    return statistics.median(load.p99 for load in loads)
