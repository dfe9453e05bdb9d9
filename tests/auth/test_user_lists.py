"""Administrators and the operator find users."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import InvalidArgument

from services.auth.store import user_lists
from services.kernel.rpc.timestamps import timestamp
from tests.auth.world import Member, World, calling_as

EMAILS = (
    "old@example.com",
    "ada@example.com",
    "Ada.Lovelace@example.com",
    "a_b@example.com",
    "axb@example.com",
    "bob@b\u00fccher.example.com",
)


@pytest.fixture
async def admin(world: World) -> Member:
    """An administrator, older than some users who registered a minute apart."""
    found = await world.admin("root@example.com")
    for minute, email in enumerate(EMAILS):
        user = (await world.register(email)).user
        await world.sql(
            "UPDATE users SET create_time = %s WHERE id = %s", moment(minute + 1), user.id
        )
    await world.sql("UPDATE users SET create_time = %s WHERE id = %s", moment(0), found.id)
    await world.sql("UPDATE users SET status = 'DISABLED' WHERE email = 'axb@example.com'")
    await world.sql("UPDATE users SET status = 'PENDING' WHERE email = 'old@example.com'")
    return found


def moment(minute: int) -> datetime:
    return datetime(2026, 1, 1, 0, minute, tzinfo=UTC)


def stamp(minute: int) -> Timestamp:
    return timestamp(moment(minute))


async def found(world: World, admin: Member, request: auth_pb.ListUsersRequest) -> list[str]:
    """Return the beginnings of the e-mails of all pages."""
    emails: list[str] = []
    while True:
        page = await world.auth.ListUsers(request, metadata=admin.proof)
        emails += [user.email.partition("@")[0] for user in page.users]
        if not page.next_page_token:
            return emails
        request.page_token = page.next_page_token


async def test_every_filter_narrows_the_list(world: World, admin: Member) -> None:
    request = auth_pb.ListUsersRequest
    ada = "Ada.Lovelace"
    for wanted, emails in (
        (request(email_prefix="ada"), [ada, "ada"]),
        (request(email_prefix=" ADA.l"), [ada]),
        (request(email_prefix="ada@EXAMPLE.com"), ["ada"]),
        (request(email_prefix="a_"), ["a_b"]),
        (request(email_prefix="%"), []),
        (request(email_prefix="\\"), []),
        (request(email_prefix="bob@b\u00fccher.example.com"), ["bob"]),
        (request(email_prefix="bob@xn--"), ["bob"]),
        (request(email_prefix="old"), []),
        (request(role="admin"), ["root"]),
        (request(role="student"), ["bob", "axb", "a_b", ada, "ada"]),
        (request(role="brand"), []),
        (request(status="disabled"), ["axb"]),
        (request(status="deleting"), []),
        (request(status="active", email_prefix="a"), ["a_b", ada, "ada"]),
        (request(create_time_from=stamp(4)), ["bob", "axb", "a_b"]),
        (request(create_time_until=stamp(4)), [ada, "ada", "root"]),
        (request(create_time_from=stamp(4), create_time_until=stamp(4)), []),
        (
            request(create_time_from=stamp(3), create_time_until=stamp(5), role="student"),
            ["a_b", ada],
        ),
    ):
        assert await found(world, admin, wanted) == emails, wanted


@pytest.mark.parametrize("name", ["_WALK", "_COLLECT"])
async def test_pages_go_on_where_the_last_one_ended(
    world: World, admin: Member, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for other in ("_WALK", "_COLLECT"):
        monkeypatch.setattr(user_lists, other, getattr(user_lists, name))
    for request, emails in (
        (auth_pb.ListUsersRequest(email_prefix="a"), ["axb", "a_b", "Ada.Lovelace", "ada"]),
        (
            auth_pb.ListUsersRequest(role="student", create_time_until=stamp(6)),
            ["axb", "a_b", "Ada.Lovelace", "ada"],
        ),
        (
            auth_pb.ListUsersRequest(status="active", create_time_from=stamp(2)),
            ["bob", "a_b", "Ada.Lovelace", "ada"],
        ),
    ):
        request.page_size = 1
        assert await found(world, admin, request) == emails


async def test_users_show_their_status(world: World, admin: Member) -> None:
    page = await world.auth.ListUsers(auth_pb.ListUsersRequest(), metadata=admin.proof)
    shown = {user.email: user.status for user in page.users}
    assert shown["axb@example.com"] == "disabled"
    assert shown["ada@example.com"] == "active"
    assert (await world.register("new@example.com")).user.status == "active"


async def test_a_token_is_good_for_the_filters_of_its_page(world: World, admin: Member) -> None:
    first = auth_pb.ListUsersRequest(page_size=1, role="student", email_prefix="a")
    token = (await world.auth.ListUsers(first, metadata=admin.proof)).next_page_token
    for other in (
        auth_pb.ListUsersRequest(),
        auth_pb.ListUsersRequest(role="student"),
        auth_pb.ListUsersRequest(role="student", email_prefix="ad"),
        auth_pb.ListUsersRequest(role="student", email_prefix="a", status="active"),
        auth_pb.ListUsersRequest(role="student", email_prefix="a", create_time_from=stamp(0)),
        auth_pb.ListUsersRequest(role="student", email_prefix="a", create_time_until=stamp(9)),
    ):
        other.page_token = token
        with pytest.raises(InvalidArgument):
            await world.auth.ListUsers(other, metadata=admin.proof)


@pytest.mark.parametrize(
    "wrong",
    [
        auth_pb.ListUsersRequest(role="queen"),
        auth_pb.ListUsersRequest(status="pending"),
        auth_pb.ListUsersRequest(status="ACTIVE"),
        auth_pb.ListUsersRequest(email_prefix="x" * 255),
        auth_pb.ListUsersRequest(email_prefix="b@b\u00fc"),
        auth_pb.ListUsersRequest(create_time_from=Timestamp(seconds=2**60)),
        auth_pb.ListUsersRequest(create_time_from=stamp(2), create_time_until=stamp(1)),
    ],
    ids=str,
)
async def test_wrong_filters_are_refused(
    world: World, admin: Member, wrong: auth_pb.ListUsersRequest
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await world.auth.ListUsers(wrong, metadata=admin.proof)
    assert caught.value.reason == "INVALID_FIELD"


async def test_the_operator_lists_users(world: World, admin: Member) -> None:
    async with calling_as(world, "operator") as auth:
        page = await auth.ListUsers(auth_pb.ListUsersRequest(role="admin"))
    assert [user.id for user in page.users] == [admin.id]
