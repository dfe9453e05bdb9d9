"""A request names an account by its id or by its e-mail address, never by both."""

from __future__ import annotations

from typing import Any

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import InvalidArgument

from tests.auth.world import World

ADA, EVE, ROOT = "ada@example.com", "eve@example.com", "root@example.com"
EXACTLY_ONE = "exactly one of user_id and email must be set"

METHODS = [
    method
    for method in auth_pb.DESCRIPTOR.services_by_name["AuthService"].methods
    if {"user_id", "email"} <= set(method.input_type.fields_by_name)
]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
async def test_an_account_is_named_by_one_field_alone(world: World, method: Any) -> None:
    admin = await world.admin(ROOT)
    ada = (await world.register(ADA)).user
    await world.register(EVE)
    ask, request = getattr(world.auth, method.name), getattr(auth_pb, method.input_type.name)
    refused = [
        ({"user_id": ada.id, "email": EVE}, "email"),
        ({"user_id": ada.id, "email": ADA}, "email"),
        ({}, "user_id"),
    ]
    for names, field in refused:
        with pytest.raises(InvalidArgument) as caught:
            await ask(request(**names), metadata=admin.proof)
        assert [each.field for each in caught.value.violations] == [field]
        assert EXACTLY_ONE in caught.value.violations[0].description
    rows = await world.sql("SELECT event FROM audit_log WHERE actor = %s", admin.id)
    assert rows == []


def test_these_methods_take_either_name() -> None:
    assert {method.name for method in METHODS} == {
        "ResetMfa",
        "PromoteUser",
        "DemoteUser",
        "ResendCode",
        "UnlockUser",
        "GetUserAccess",
    }


async def test_a_second_factor_is_a_code_or_a_recovery_code(world: World) -> None:
    request = auth_pb.VerifyMfaRequest(mfa_token="t", code="123456", recovery_code="A" * 24)
    with pytest.raises(InvalidArgument) as caught:
        await world.auth.VerifyMfa(request)
    assert [each.field for each in caught.value.violations] == ["recovery_code"]
    assert "exactly one of code and recovery_code" in caught.value.violations[0].description
