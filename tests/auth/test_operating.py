"""Operators: they appoint administrators by command, and read the audit log."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import LockstepError, Unauthenticated
from typer.testing import CliRunner

from services.cli.errors import CommandError
from services.cli.main import app
from tests.auth.world import PASSWORD, World
from tests.environment import without_settings

EMAIL = "ada@example.com"
ADMIN = "root@example.com"
ME = auth_pb.GetUserRequest(user_id="me")


def environment(world: World) -> dict[str, str]:
    return {
        "LOCKSTEP_AUTH_DATABASE_URL": world.url,
        "LOCKSTEP_KEYS": str(world.keys),
        "LOCKSTEP_AUTH_ADDRESS": f"127.0.0.1:{world.running.port}",
    }


async def lockstep(world: World, *arguments: str) -> tuple[int, str]:
    """Run a command that needs no service, and return its exit code and output."""
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment(world))
    if isinstance(result.exception, CommandError):
        return result.exit_code, str(result.exception)
    return result.exit_code, result.output


async def create(world: World, password: str) -> tuple[int, str]:
    """Run `lockstep admin create` as a process, and return its exit code and output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli"),
        *("admin", "create", "--email", ADMIN, "--password-stdin"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=without_settings() | environment(world),
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate(f"{password}\n".encode())
    assert process.returncode is not None
    return process.returncode, output.decode()


async def audit(world: World, *arguments: str) -> list[dict[str, Any]]:
    code, output = await lockstep(world, "audit", "--service", "auth", "--json", *arguments)
    assert code == 0, output
    return rows_of(output)


def rows_of(output: str) -> list[dict[str, Any]]:
    """Read the JSON of a command; Auth runs in this process, and may log in between."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


async def test_the_first_administrator_is_registered_like_everybody_and_given_the_role(
    world: World,
) -> None:
    (code, output), (weak_code, weak) = await asyncio.gather(
        create(world, PASSWORD), create(world, "weak")
    )
    assert code == 0, output
    assert weak_code == 1
    assert "password must have an upper-case letter" in weak
    assert "weak" not in weak
    admin = world.of(await world.login(ADMIN))
    user = await world.auth.GetUser(ME, metadata=admin.proof)
    assert (user.role, user.full_name) == ("admin", "System Administrator")
    await world.auth.ListUsers(auth_pb.ListUsersRequest(), metadata=admin.proof)
    (code, output), (none_code, none) = await asyncio.gather(
        create(world, PASSWORD), create(world, "")
    )
    assert (code, "admin promote" in output) == (1, True)
    assert (none_code, none.count("\n")) == (1, 1)


async def test_the_role_is_given_and_taken_at_once_but_not_from_the_last(world: World) -> None:
    member = await world.member(EMAIL)
    listing = auth_pb.ListUsersRequest()
    with pytest.raises(LockstepError):
        await world.auth.ListUsers(listing, metadata=member.proof)
    code, output = await lockstep(world, "admin", "promote", "--email", "ADA@example.com")
    assert code == 0, output
    await world.auth.ListUsers(listing, metadata=member.proof)
    code, output = await lockstep(world, "admin", "list")
    assert (code, EMAIL in output) == (0, True)
    code, output = await lockstep(world, "admin", "demote", "--email", EMAIL)
    assert code == 1
    assert "last administrator" in output
    await world.admin(ADMIN)
    code, output = await lockstep(world, "admin", "demote", "--email", EMAIL)
    assert code == 0, output
    with pytest.raises(LockstepError) as caught:
        await world.auth.ListUsers(listing, metadata=member.proof)
    assert caught.value.reason == "FORBIDDEN"
    await world.register("bea@example.com", role="student", full_name="Bea", course="Analysis")
    code, output = await lockstep(world, "admin", "demote", "--email", "bea@example.com")
    assert (code, "stays a student" in output) == (0, True), output
    code, output = await lockstep(world, "admin", "promote", "--email", "nobody@example.com")
    assert (code, output) == (1, "there is no account of nobody@example.com")
    [entry] = await audit(world, "--event", "authz_admin", "--limit", "1")
    assert (entry["actor"], entry["user"]) == ("operator", member.id)


async def test_the_audit_log_says_who_what_and_from_where_and_no_secret(world: World) -> None:
    member = await world.member(EMAIL)
    with pytest.raises(Unauthenticated):
        await world.login(EMAIL, "Wrong-horse-7")
    with pytest.raises(Unauthenticated):
        await world.login("typed-my-password@example.com", "Wrong-horse-7")
    await world.auth.RefreshToken(auth_pb.RefreshTokenRequest(refresh_token=member.refresh_token))
    await world.auth.Logout(auth_pb.LogoutRequest(), metadata=member.proof)
    log = await audit(world)
    assert [(entry["event"], entry["user"]) for entry in log] == [
        ("authn_token_revoked", member.id),
        ("session_renewed", member.id),
        ("authn_login_fail", ""),
        ("authn_login_fail", member.id),
        ("authn_login_success", member.id),
        ("user_created", member.id),
        ("code_requested", member.id),  # by the registration itself
        ("user_registration_requested", member.id),
    ]
    addresses = {entry["address"] for entry in log if entry["event"] != "code_requested"}
    assert addresses == {"127.0.0.1"}
    for secret in (PASSWORD, "Wrong-horse-7", "typed-my-password", member.refresh_token, EMAIL):
        assert secret not in json.dumps(log)
    assert [e["event"] for e in await audit(world, "--user", member.id, "--limit", "1")] == [
        "authn_token_revoked"
    ]
