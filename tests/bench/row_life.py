"""The life of the processes: their start, the gain of a second worker, their growth."""

from __future__ import annotations

import statistics
from dataclasses import replace

from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.profile.v1 import profile_service_pb2 as profile_pb

from tests.bench.lab import CHEAP, Lab
from tests.bench.load import WARM_UP_SECONDS, Target, apply, with_length
from tests.bench.people import Person
from tests.bench.report import Finding, Ratio, at_least
from tests.bench.row_calls import Shop
from tests.bench.stack import (
    CORES,
    WORKER_PORT_STEP,
    processor_seconds,
    resident_bytes,
    sharing,
)

WARM_SECONDS_MAX = 8.0
WORKERS_GAIN = 1.7
WORKER_SHARE = 0.2
GROWTH_MAX = 0.10
REQUESTS, QUICK_REQUESTS = 100_000, 5_000
BATCH_SECONDS = 5.0


async def start(lab: Lab) -> list[Finding]:
    """Start everything again, in a folder where it has run before."""
    async with lab.running(**CHEAP):
        pass
    before = len(lab.stack.starts)
    for turn in range(1 if lab.is_quick else 3):
        lab.say(f"warm start {turn + 1}")
        await lab.stack.stop()
        await lab.stack.run_with(**CHEAP)
    times = lab.stack.starts[before:]
    seconds = statistics.median(times)
    finding = Finding(
        row="start",
        figure="`lockstep up`, warm, to all SERVING",
        measured=f"{seconds:.1f} s; the first time {lab.stack.starts[0]:.1f} s",
        ratio=f"{min(times):.1f} to {max(times):.1f} s",
        goal=f"< {WARM_SECONDS_MAX:.0f} s",
        is_met=seconds < WARM_SECONDS_MAX,
    )
    return [finding]


async def workers(lab: Lab) -> list[Finding]:
    """Compare two workers with one of the same two, in turns, on a read.

    One comparison gives each worker a share of a core, as if the machine had enough cores for
    all. The other one gives them the machine as it is.
    """
    rounds, seconds = lab.rounds(4.0)
    async with lab.running(**CHEAP, workers="2") as to:
        shop = await Shop.with_carts(lab, to)
        target = shop.targets["GetProduct"][0]
        host, port = target.endpoint.rsplit(":", 1)
        both = [target, target.at(f"{host}:{int(port) + WORKER_PORT_STEP}")]
        pids = lab.stack.pids("commerce")

        async def turns() -> tuple[list[float], list[float], float]:
            one, two, busy = [], [], []
            for turn in range(rounds):
                lab.say(f"one worker and two, {turn + 1} of {rounds}")
                one.append((await apply([target], seconds=seconds, in_flight=32)).per_second)
                before = processor_seconds(pids)
                two.append((await apply(both, seconds=seconds, in_flight=32)).per_second)
                busy.append((processor_seconds(pids) - before) / (seconds + WARM_UP_SECONDS))
            return one, two, statistics.median(busy)

        async with sharing(pids, WORKER_SHARE):
            with_shares = await turns()
        with_all = await turns()
    figure = "GetProduct, two workers of one"
    held = f"{figure}, {WORKER_SHARE:.0%} of a core each"
    return [
        at_least("workers", held, *_measured(*with_shares), WORKERS_GAIN),
        replace(at_least("workers", figure, *_measured(*with_all), 0.0), goal="", is_met=None),
    ]


def _measured(one: list[float], two: list[float], busy: float) -> tuple[str, Ratio]:
    text = (
        f"{statistics.median(two):.0f}/s; one {statistics.median(one):.0f}/s; "
        f"the two had {busy:.2f} of {len(CORES)} cores"
    )
    return text, Ratio.of(two, one)


async def memory(lab: Lab) -> list[Finding]:
    """Make many requests of each service; compare its memory before and after."""
    wanted = QUICK_REQUESTS if lab.is_quick else REQUESTS
    findings = []
    async with lab.running(**CHEAP) as to:
        (person,) = await to.people(1)
        for name, asked in _requests(lab, person).items():
            target = await with_length(asked)
            (pid,) = lab.stack.pids(name)
            await _send(lab, name, target, wanted // 20)
            before = resident_bytes(pid)
            sent = await _send(lab, name, target, wanted)
            findings.append(_growth(name, before, resident_bytes(pid), sent))
    return findings


def _requests(lab: Lab, person: Person) -> dict[str, Target]:
    """Return the request for each service; the gateway's reaches Commerce."""
    user = auth_pb.GetUserRequest(user_id="me").SerializeToString()
    profile = profile_pb.GetProfileRequest(user_id="me").SerializeToString()
    cart = "/lockstep.commerce.v1.CartService/GetCart"

    def target(service: str, path: str, message: bytes | None) -> Target:
        endpoint = lab.stack.endpoint(service)
        return Target(endpoint=endpoint, path=path, message=message, headers=person.metadata)

    return {
        "auth": target("auth", "/lockstep.auth.v1.AuthService/GetUser", user),
        "profile": target("profile", "/lockstep.profile.v1.ProfileService/GetProfile", profile),
        "commerce": target("commerce", cart, b""),
        "gateway": target("gateway", "/v1/products", None),
    }


async def _send(lab: Lab, name: str, target: Target, number: int) -> int:
    sent = 0
    while sent < number:
        lab.say(f"memory of {name}: {sent:,} of {number:,} requests")
        seconds = BATCH_SECONDS if number > QUICK_REQUESTS else 1.0
        load = await apply([target], seconds=seconds)
        sent += load.requests
    return sent


def _growth(name: str, before: int, after: int, sent: int) -> Finding:
    growth = after / before - 1
    return Finding(
        row="memory",
        figure=f"memory of {name} after {sent:,} requests",
        measured=f"{after / 2**20:.1f} MiB; {before / 2**20:.1f} MiB after the warm-up",
        ratio=f"{growth:+.1%}",
        goal=f"< +{GROWTH_MAX:.0%}",
        is_met=growth < GROWTH_MAX,
    )
