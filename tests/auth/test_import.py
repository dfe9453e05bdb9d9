"""`lockstep admin import`: accounts of other systems, each with its profile or not at all."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep_clients import InvalidArgument, LockstepError, PermissionDenied

from services.auth.domain import passwords
from services.auth.usecases import ImportUser
from services.cli import imports
from services.cli.import_lines import LINE_BYTES_MAX, read_lines
from services.kernel.errors import DeadlineExceeded
from tests.auth.test_operating import lockstep as lockstep_command
from tests.auth.together import All
from tests.auth.world import PASSWORD, World, calling_as
from tests.fakes.participants import FakeProfile

EMAIL = "ada@example.com"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode()
VARIANTS = ("$2a$", "$2b$", "$2y$")


def of_variant(variant: str) -> str:
    return variant + HASH.removeprefix("$2b$")


def account(email: str = EMAIL, **more: Any) -> dict[str, Any]:
    return {"email": email, "password_hash": HASH, **more}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes a file with a line for each account, or with lines as they are."""

    def written(*lines: dict[str, Any] | str | bytes) -> str:
        path = tmp_path / "users.jsonl"
        path.write_bytes(
            b"\n".join(
                json.dumps(each).encode()
                if isinstance(each, dict)
                else each.encode()
                if isinstance(each, str)
                else each
                for each in lines
            )
        )
        return str(path)

    return written


async def command(world: World, path: str) -> tuple[int, str]:
    """Import a file, and return the exit code and what is said last."""
    return await lockstep_command(world, "admin", "import", path)


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the command prints, also when it fails."""
    printed: list[str] = []
    monkeypatch.setattr("services.cli.imports.typer.echo", printed.append)
    return printed


async def test_accounts_are_imported_with_profiles_and_log_in_with_their_passwords(
    lockstep: All, write: Callable[..., str], report: list[str]
) -> None:
    world = lockstep.world
    path = write(
        *(
            account(f"u{i}@example.com", password_hash=of_variant(v), full_name=f"U {i}")
            for i, v in enumerate(VARIANTS)
        ),
        account(
            "brand@example.com",
            role="brand",
            company="Acme",
            companySize="1-10",
            userRole="owner",
            emailVerified=True,
        ),
    )
    code, output = await command(world, path)
    assert code == 0, (output, report)
    assert report[-1] == "4 imported, 0 had an account already, 0 refused"
    assert sorted(line.partition(": ")[0] for line in report[:-1]) == [
        "line 1",
        "line 2",
        "line 3",
        "line 4",
    ]
    for i in range(3):
        member = world.of(await world.login(f"u{i}@example.com"))
        assert await lockstep.status(member) == "pending"
        [row] = await world.sql("SELECT password_hash FROM users WHERE id = %s", member.id)
        assert row.password_hash.startswith("$2b$04$")  # the login has renewed it
        await world.login(f"u{i}@example.com")
    brand = world.of(await world.login("brand@example.com"))
    profile = await lockstep.profiles.GetProfile(
        profile_pb.GetProfileRequest(user_id="me"), metadata=brand.proof
    )
    assert (profile.brand.name, profile.status) == ("Acme", "active")
    assert await world.sql("SELECT 1 FROM outbox") == []
    assert world.sink.messages == []
    lines = await world.sql("SELECT event, actor FROM audit_log WHERE user_id = %s", brand.id)
    assert {(row.event, row.actor) for row in lines} >= {
        ("user_registration_requested", "operator"),
        ("user_created", "operator"),
    }


async def test_a_repeat_goes_on_where_the_first_run_ended(
    world: World, write: Callable[..., str], report: list[str]
) -> None:
    await command(world, write(account("a@example.com"), account("b@example.com")))
    report.clear()
    names = "abcd"
    code, output = await command(world, write(*(account(f"{n}@example.com") for n in names)))
    assert code == 0, output
    assert report[-1] == "2 imported, 2 had an account already, 0 refused"
    assert "line 1: email has an account already" in report


async def test_while_profile_is_down_nothing_is_half_done_and_the_command_says_how_to_go_on(
    world: World,
    profile: FakeProfile,
    write: Callable[..., str],
    report: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(imports, "TRIES_MAX", 2)
    profile.is_down = True
    path = write(account(phone_number="+16502530000"))
    code, output = await command(world, path)
    assert code == 1
    assert output.endswith("then run the same command again to go on")
    profile.is_down = False
    await world.settled()
    assert await world.sql("SELECT 1 FROM users") == []
    assert profile.profiles == {}
    code, output = await command(world, path)
    assert code == 0, output
    assert report[-1] == "1 imported, 0 had an account already, 0 refused"


BAD_HASHES = {
    "not one": "x",
    "of another sort": "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA",
    "of another variant": of_variant("$2x$"),
    "too short": HASH[:-1],
    "too long": HASH + "A",
    "with unused bits of the salt": HASH[:28] + "A" + HASH[29:],
    "with unused bits of the checksum": HASH[:-1] + "A",
    "too cheap": HASH.replace("$05$", "$03$"),
    "too dear": HASH.replace("$05$", "$19$"),
    "with a line break": HASH + "\n",
    "none": "",
}


@pytest.mark.parametrize("hashed", BAD_HASHES.values(), ids=BAD_HASHES)
async def test_what_is_no_usable_hash_is_refused(world: World, hashed: str) -> None:
    async with calling_as(world, "operator") as auth:
        with pytest.raises(InvalidArgument) as caught:
            await auth.ImportUser(auth_pb.ImportUserRequest(email=EMAIL, password_hash=hashed))
    assert [each.field for each in caught.value.violations] == ["password_hash"]
    assert hashed == "" or hashed not in caught.value.message


def test_every_hash_that_bcrypt_makes_is_one() -> None:
    for variant in (b"2a", b"2b"):
        for _ in range(50):
            made = bcrypt.hashpw(b"x", bcrypt.gensalt(4, prefix=variant)).decode()
            assert passwords.is_hash(made)


@pytest.mark.parametrize("service", ["gateway", "profile", "commerce"])
async def test_the_operator_alone_imports(world: World, service: str) -> None:
    async with calling_as(world, service) as auth:
        with pytest.raises(PermissionDenied):
            await auth.ImportUser(auth_pb.ImportUserRequest(**account()))


BAD_LINES: dict[str, tuple[dict[str, Any] | str | bytes, str]] = {
    "no json": ("nonsense", "must be a JSON object such as"),
    "a list": ("[]", "must be a JSON object such as"),
    "deep": ("[" * 60_000, "must be a JSON object such as"),
    "no utf-8": (b'{"email": "\xff"}', "must be UTF-8"),
    "unknown": (account(passwordHassh="x"), "has an unknown field 'passwordHassh': must be one of"),
    "twice": ('{"email": "a@example.com", "email": "b@example.com"}', "has email twice"),
    "both spellings": (account(passwordHash=HASH), "has password_hash twice"),
    "a number": (account(full_name=7), "full_name must be a text"),
    "null": (account(course=None), "course must be a text"),
    "no boolean": (account(email_verified="yes"), "email_verified must be true or false"),
    "a surrogate": ('{"email": "\\ud800"}', "email must be text"),
    "too long": (account(address="x" * LINE_BYTES_MAX), f"must have {LINE_BYTES_MAX} bytes"),
    "no address": (account("nobody"), "email must be an e-mail address"),
    "no hash": ({"email": "c@example.com"}, "password_hash is required"),
    "an administrator": (account("d@example.com", role="admin"), "role must be one of"),
}


async def test_bad_lines_are_named_with_number_and_remedy_and_the_others_imported(
    world: World, write: Callable[..., str], report: list[str]
) -> None:
    bad = [line for line, _ in BAD_LINES.values()]
    path = write(*bad, "", "  ", account("good@example.com"))
    code, output = await command(world, path)
    assert (code, output) == (
        1,
        "mend the lines that were refused, then run the same command again",
    )
    for number, (_, remedy) in enumerate(BAD_LINES.values(), start=1):
        [told] = [line for line in report if line.startswith(f"line {number}: ")]
        assert remedy in told
        assert "$05$" not in told
    assert report[-1] == f"1 imported, 0 had an account already, {len(bad)} refused"
    assert len(await world.sql("SELECT 1 FROM users")) == 1


async def test_a_phone_number_that_is_taken_is_named(
    world: World, write: Callable[..., str], report: list[str]
) -> None:
    phone = {"phone_number": "+16502530000"}
    await command(world, write(account("a@example.com", **phone)))
    report.clear()
    code, _ = await command(world, write(account("b@example.com", **phone)))
    assert code == 1
    assert "line 1: phone_number has an account already: change it, or leave it out" in report


async def test_an_answer_that_is_lost_is_asked_for_again(
    world: World, write: Callable[..., str], report: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first try succeeds at Auth, and its answer is lost on the way."""
    real = ImportUser.__call__
    lost: list[Any] = []

    async def call(self: ImportUser, *arguments: Any, **named: Any) -> Any:
        made = await real(self, *arguments, **named)
        if not lost:
            lost.append(made)
            raise DeadlineExceeded
        return made

    monkeypatch.setattr(ImportUser, "__call__", call)
    monkeypatch.setattr(imports, "PAUSE_SECONDS", 0.0)
    code, output = await command(world, write(account()))
    assert code == 0, output
    assert report[-1] == "1 imported, 0 had an account already, 0 refused"


def test_lines_are_read_one_by_one_with_their_sizes() -> None:
    content = b"\xef\xbb\xbf" + b'{"email": "a"}\r\n\n' + b"x" * (3 * LINE_BYTES_MAX) + b"\n{}"
    lines = list(read_lines(io.BytesIO(content)))
    assert [line.number for line in lines] == [1, 3, 4]
    assert sum(line.size for line in lines) == len(content)
    assert lines[0].request is not None
    assert lines[0].request.email == "a"


async def test_copies_of_one_account_at_once_make_one(world: World) -> None:
    async with calling_as(world, "operator") as auth:
        results = await asyncio.gather(
            *(auth.ImportUser(auth_pb.ImportUserRequest(**account())) for _ in range(4)),
            return_exceptions=True,
        )
    made = [each for each in results if not isinstance(each, BaseException)]
    assert len(made) == 1
    assert {each.reason for each in results if isinstance(each, LockstepError)} <= {
        "EMAIL_TAKEN",
        "REGISTRATION_IN_PROGRESS",
        "PROFILE_UNAVAILABLE",  # on a busy machine
    }
    assert len(await world.sql("SELECT 1 FROM users")) == 1
