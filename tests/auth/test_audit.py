"""The audit log tells requests, tries and refusals, and no secret."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import LockstepError

from services.kernel.audit import log, refusals
from services.kernel.db.database import Transaction
from services.kernel.errors import DatabaseUnavailable
from tests.auth.world import PASSWORD, WRONG, World

EMAIL = "ada@example.com"
NEW = "new@example.com"
IP = "127.0.0.1"


async def told(world: World, like: str = "%") -> list[Any]:
    return await world.sql(
        "SELECT event, user_id::text, account, actor, address, detail FROM audit_log"
        " WHERE event LIKE %s ORDER BY create_time, id",
        like,
    )


async def refused(call: Any) -> str:
    with pytest.raises(LockstepError) as caught:
        await call
    return caught.value.reason


async def test_each_request_and_each_try_of_a_code_is_told_with_purpose_and_flow(
    world: World,
) -> None:
    member = await world.member(EMAIL)
    asked = auth_pb.RequestPasswordResetRequest(email=EMAIL)
    flow_id = (await world.auth.RequestPasswordReset(asked)).flow_id
    presented = auth_pb.ResetPasswordRequest(
        flow_id=flow_id, email=EMAIL, otp=WRONG, new_password="Another-horse-8"
    )
    assert await refused(world.auth.ResetPassword(presented)) == "OTP_INVALID"
    presented.otp = await world.sink.code(EMAIL, count=1, about="password")
    await world.auth.ResetPassword(presented)
    stranger = auth_pb.VerifyEmailRequest(
        flow_id="01890a5d-ac96-774b-bcce-b302099a8057", email=EMAIL, otp=WRONG
    )
    assert await refused(world.auth.VerifyEmail(stranger)) == "OTP_INVALID"
    lines = await told(world, "code_%")
    summary = [(row.event, row.detail["purpose"], row.detail.get("reason")) for row in lines]
    assert summary == [
        ("code_requested", "verification", None),
        ("code_requested", "reset", None),
        ("code_refused", "reset", "OTP_INVALID"),
        ("code_accepted", "reset", None),
        ("code_refused", "unknown", "OTP_INVALID"),
    ]
    assert {row.detail["flow"] for row in lines[1:4]} == {flow_id}
    assert {row.user_id for row in lines[:4]} == {member.id}
    assert {row.address for row in lines[1:]} == {IP}
    everything = str(await told(world))
    assert EMAIL not in everything
    assert presented.otp not in everything


async def test_a_change_of_address_is_told_with_pseudonyms_of_both(world: World) -> None:
    member = await world.member(EMAIL)
    asked = auth_pb.ChangeEmailRequest(new_email=NEW, password=PASSWORD)
    flow_id = (await world.auth.ChangeEmail(asked, metadata=member.proof)).flow_id
    code = await world.sink.code(NEW)
    await world.auth.VerifyEmail(auth_pb.VerifyEmailRequest(flow_id=flow_id, email=NEW, otp=code))
    began, ended = await told(world, "email_change%")
    assert (began.event, ended.event) == ("email_change_requested", "email_changed")
    assert began.account == ended.account
    assert began.detail["new_account"] == ended.detail["new_account"] != began.account
    assert began.detail["flow"] == ended.detail["flow"] == flow_id
    assert NEW not in str([began, ended])


async def test_a_registration_is_told_with_its_address(world: World) -> None:
    user_id = (await world.register(EMAIL)).user.id
    lines = await told(world, "user_%")
    assert [(row.event, row.user_id, row.address) for row in lines] == [
        ("user_registration_requested", user_id, IP),
        ("user_created", user_id, IP),
    ]


async def test_a_limit_is_told_once_a_minute_for_account_and_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)  # a minute may end at any time
    for email in (EMAIL, NEW):
        asked = auth_pb.RequestPasswordResetRequest(email=email)
        await world.auth.RequestPasswordReset(asked)
        reasons = {await refused(world.auth.RequestPasswordReset(asked)) for _ in range(3)}
        assert reasons == {"TOO_MANY_REQUESTS"}
    lines = await told(world, refusals.LIMIT_REACHED)
    assert len(lines) == len({row.account for row in lines}) == 2
    assert {(row.detail["method"], row.address) for row in lines} == {("RequestPasswordReset", IP)}


async def test_what_a_user_may_not_do_is_told_with_the_user(world: World) -> None:
    member = await world.member(EMAIL)
    call = world.auth.ListUsers(auth_pb.ListUsersRequest(), metadata=member.proof)
    assert await refused(call) == "FORBIDDEN"
    [line] = await told(world, refusals.NOT_ALLOWED)
    assert (line.actor, line.detail["method"], line.address) == (member.id, "ListUsers", IP)


@pytest.mark.parametrize("fault", ["hangs", "fails"])
async def test_a_refusal_is_answered_soon_whatever_becomes_of_its_line(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    member = await world.member(EMAIL)
    go_on = asyncio.Event()

    async def write(tx: Transaction, *facts: object, **more: object) -> None:
        if fault == "fails":
            raise DatabaseUnavailable
        await go_on.wait()

    monkeypatch.setattr(log, "write", write)
    call = world.auth.ListUsers(auth_pb.ListUsersRequest(), metadata=member.proof)
    assert await refused(call) == "FORBIDDEN"
    go_on.set()
    # What bounds the wait for a line that hangs.
    assert refusals.WAIT_SECONDS < 1


async def test_a_deletion_takes_the_addresses_of_the_user_and_of_nobody_else(
    world: World,
) -> None:
    member, admin = await world.member(EMAIL), await world.admin("root@example.com")
    disable = auth_pb.DisableUserRequest(user_id=member.id)
    await world.auth.DisableUser(disable, metadata=admin.proof)
    with contextlib.suppress(LockstepError):
        await world.login(EMAIL, "Wrong-password-1")
    delete = auth_pb.DeleteUserRequest(user_id=member.id)
    await world.auth.DeleteUser(delete, metadata=admin.proof)
    lines = await world.sql("SELECT actor, address FROM audit_log WHERE user_id = %s", member.id)
    assert {row.address for row in lines if row.actor is None} == {None}
    assert {row.address for row in lines if row.actor == admin.id} == {IP}
