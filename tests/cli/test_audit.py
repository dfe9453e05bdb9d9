"""`lockstep audit` asks every service as the operator, and makes one list of their answers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import pytest
import typer
from google.protobuf.timestamp_pb2 import Timestamp
from lockstep.audit.v1 import audit_pb2 as audit_pb

from services.cli.audit import SERVICES
from services.cli.durations import parse_moment
from services.common.key_files import initialise
from services.common.keys import KeyRing
from tests.cli.conftest import Lockstep, check_operator, finish, listening

USER = "0198a000-0000-7000-8000-000000000001"


class Log:
    """Has as many lines as it is told, one a second, and answers one a page."""

    def __init__(self, service: str, times: list[int], keys: KeyRing) -> None:
        self.requests: list[audit_pb.ListAuditEventsRequest] = []
        self._service = service
        self._times = times
        self._keys = keys

    async def ListAuditEvents(
        self, request: audit_pb.ListAuditEventsRequest, context: Any
    ) -> audit_pb.ListAuditEventsResponse:
        check_operator(context, self._service, self._keys)
        self.requests.append(request)
        place = int(request.page_token or 0)
        answer = audit_pb.ListAuditEventsResponse()
        for seconds in self._times[place : place + 1]:
            answer.audit_events.add(
                event=f"event_{seconds}",
                user_id=USER,
                actor="operator",
                facts=[audit_pb.AuditFact(name="n", value=str(seconds))],
                create_time=Timestamp(seconds=1_790_000_000 + seconds),
            )
        if place + 1 < len(self._times):
            answer.next_page_token = str(place + 1)
        return answer


@pytest.fixture
async def logs(home: Path, environment: dict[str, str]) -> AsyncIterator[dict[str, Log]]:
    """Serve three logs."""
    initialise(home / "keys")
    ring = KeyRing.load(home / "keys", "auth")
    times = {"auth": [30, 10], "profile": list[int](), "commerce": [40, 20]}
    found = {name: Log(name, times[name], ring) for name in SERVICES}
    servers = {name: grpc.aio.server() for name in found}
    for name, server in servers.items():
        module = import_module(f"lockstep.{name}.v1.audit_service_pb2_grpc")
        module.add_AuditServiceServicer_to_server(found[name], server)
    async with listening(servers, environment):
        yield found


async def run(lockstep: Lockstep, *arguments: str) -> tuple[int, str, str]:
    return await asyncio.to_thread(lambda: finish(lockstep("audit", *arguments)))


async def test_the_logs_of_all_services_are_one_list_newest_first(
    logs: dict[str, Log], lockstep: Lockstep
) -> None:
    code, output, errors = await run(lockstep)
    assert (code, errors) == (0, "")
    lines = [line.split("\t") for line in output.splitlines()]
    assert [(line[1], line[2]) for line in lines] == [
        ("commerce", "event_40"),
        ("auth", "event_30"),
        ("commerce", "event_20"),
        ("auth", "event_10"),
    ]
    assert lines[0] == [
        "2026-09-21T14:14:00.000Z",
        *("commerce", "event_40", USER, "", "operator", "", "n=40"),
    ]


async def test_filters_and_the_limit_are_passed_on(
    logs: dict[str, Log], lockstep: Lockstep
) -> None:
    since = "2026-11-27T08:00:00Z"
    given = (
        "--event",
        "x",
        "--user",
        USER,
        "--actor",
        "operator",
        "--since",
        since,
        "--limit",
        "3",
    )
    code, output, _ = await run(lockstep, *given)
    assert code == 0
    assert len(output.splitlines()) == 3
    first, second = logs["auth"].requests
    wanted = audit_pb.ListAuditEventsRequest(
        event="x",
        user_id=USER,
        actor="operator",
        page_size=3,
        since=Timestamp(seconds=1_795_766_400),
    )
    assert first == wanted
    wanted.page_token = "1"
    assert second == wanted


async def test_one_service_alone_is_asked(logs: dict[str, Log], lockstep: Lockstep) -> None:
    code, output, _ = await run(lockstep, "--service", "commerce", "--limit", "1")
    assert (code, len(output.splitlines())) == (0, 1)
    assert [len(log.requests) for log in logs.values()] == [0, 0, 1]


async def test_what_is_wrong_is_told(logs: dict[str, Log], lockstep: Lockstep) -> None:
    code, _, errors = await run(lockstep, "--service", "gateway")
    assert (code, errors) == (
        1,
        "lockstep: gateway has no audit log: use auth, profile, commerce\n",
    )
    code, _, errors = await run(lockstep, "--since", "yesterday")
    assert code == 2
    assert "yesterday must be such as 2h" in errors


def test_moments_are_lengths_of_time_or_times() -> None:
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert abs(parse_moment("1h") - hour_ago) < timedelta(minutes=1)
    assert parse_moment("2026-11-27") == datetime(2026, 11, 27, tzinfo=UTC)
    assert parse_moment("2026-11-27T09:00:00+01:00") == datetime(2026, 11, 27, 8, tzinfo=UTC)
    for wrong in ("", "1y", "yesterday", "2026-13-01"):
        with pytest.raises(typer.BadParameter):
            parse_moment(wrong)
