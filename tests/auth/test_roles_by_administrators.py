"""Administrators make others administrators, and take that back."""

from __future__ import annotations

from lockstep.auth.v1 import auth_service_pb2 as auth_pb

from tests.auth.test_session_list import grow_old, reason_of
from tests.auth.world import World

EMAIL = "ada@example.com"
ROOT = "root@example.com"


async def test_the_role_is_given_and_taken_by_whoever_proved_the_password_lately(
    world: World,
) -> None:
    admin, member = await world.admin(ROOT), await world.member(EMAIL)
    promote = auth_pb.PromoteUserRequest(user_id=member.id)
    demote = auth_pb.DemoteUserRequest(user_id=member.id)
    for call in (
        world.auth.PromoteUser(promote, metadata=member.proof),
        world.auth.DemoteUser(demote, metadata=member.proof),
    ):
        assert await reason_of(call) == "FORBIDDEN"
    await grow_old(world)
    refused = world.auth.PromoteUser(promote, metadata=admin.proof)
    assert await reason_of(refused) == "REAUTHENTICATION_REQUIRED"
    admin = world.of(await world.login(ROOT))
    for _ in range(2):
        user = await world.auth.PromoteUser(promote, metadata=admin.proof)
        assert (user.id, user.role) == (member.id, "admin")
    assert (await world.auth.DemoteUser(demote, metadata=admin.proof)).role == "customer"
    rows = await world.sql(
        "SELECT actor, detail FROM audit_log WHERE event = 'authz_admin' ORDER BY id"
    )
    roles = [row.detail["role"] for row in rows if row.actor == admin.id]
    assert roles == ["admin", "admin", "customer"]


async def test_only_administrators_become_customers(world: World) -> None:
    admin = await world.admin(ROOT)
    work = {"company": "Miller", "company_size": "1-10", "user_role": "founder"}
    names = {"first_name": "Ada", "last_name": "Miller"}
    brand = (await world.register(EMAIL, role="brand", **names, **work)).user
    demote = auth_pb.DemoteUserRequest(user_id=brand.id)
    assert (await world.auth.DemoteUser(demote, metadata=admin.proof)).role == "brand"
    assert await world.sql("SELECT id FROM audit_log WHERE actor = %s", admin.id) == []


async def test_the_last_administrator_cannot_give_the_role_away(world: World) -> None:
    admin = await world.admin(ROOT)
    demote = auth_pb.DemoteUserRequest(user_id=admin.id)
    refused = world.auth.DemoteUser(demote, metadata=admin.proof)
    assert await reason_of(refused) == "LAST_ADMINISTRATOR"


async def test_a_user_that_is_not_there_is_told(world: World) -> None:
    admin = await world.admin(ROOT)
    request = auth_pb.PromoteUserRequest(user_id="01a1fcb4-9d7e-7c52-b7a5-0c3c4f0e6d11")
    assert (
        await reason_of(world.auth.PromoteUser(request, metadata=admin.proof)) == "USER_NOT_FOUND"
    )
