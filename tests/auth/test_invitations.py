"""Invitations: mailed, listed, accepted once, and ended in every way."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lockstep.auth.v1 import api_key_service_pb2 as key_pb
from lockstep.auth.v1 import api_key_service_pb2_grpc as key_grpc
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import invitation_service_pb2 as invitation_pb
from lockstep.auth.v1 import invitation_service_pb2_grpc as invitation_grpc
from lockstep_clients import InvalidArgument, bearer, connect

from services.auth.domain.code_limits import INVITATIONS_AN_HOUR
from services.auth.domain.places import Places
from services.auth.model import CanonicalEmail
from services.auth.settings import AuthSettings
from services.common.keys import KeyRing
from tests.auth.test_operating import lockstep
from tests.auth.test_session_list import reason_of
from tests.auth.world import (
    PASSWORD,
    Member,
    Sink,
    World,
    accept,
    channel_as,
    serving_auth,
    token_in,
)
from tests.fakes.participants import FakeProfile

EMAIL = "Ada@example.com"
ADMIN = "root@example.com"
A_MINUTE_AGO = """
UPDATE code_limits
SET send_times = ARRAY(SELECT time - interval '1 minute' FROM unnest(send_times) AS time)
"""


@dataclass(frozen=True)
class Desk:
    """InvitationService, and an administrator."""

    world: World
    stub: invitation_grpc.InvitationServiceAsyncStub
    admin: Member

    async def invite(self, email: str = EMAIL, **fields: Any) -> invitation_pb.Invitation:
        request = invitation_pb.CreateInvitationRequest(email=email, **{"role": "student"} | fields)
        return await self.stub.CreateInvitation(request, metadata=self.admin.proof)

    async def token(self, email: str = EMAIL, *, count: int = 1) -> str:
        return token_in(await self.world.sink.wait_for(email, count=count, about="invited"))

    async def check(self, token: str) -> invitation_pb.Invitation:
        return await self.stub.CheckInvitation(invitation_pb.CheckInvitationRequest(token=token))

    async def accept(self, token: str, **fields: str) -> invitation_pb.AcceptInvitationResponse:
        return await accept(self.world, token, **fields)

    async def end(self, invitation: invitation_pb.Invitation) -> None:
        request = invitation_pb.EndInvitationRequest(invitation_id=invitation.id)
        await self.stub.EndInvitation(request, metadata=self.admin.proof)

    async def open(self, **page: Any) -> invitation_pb.ListInvitationsResponse:
        request = invitation_pb.ListInvitationsRequest(**page)
        return await self.stub.ListInvitations(request, metadata=self.admin.proof)

    async def lines(self) -> list[Any]:
        return await self.world.sql(
            "SELECT event, actor, account, detail FROM audit_log WHERE event LIKE %s "
            "OR detail->>'purpose' = 'invitation' ORDER BY id",
            "user_invit%",
        )


@pytest.fixture
async def desk(world: World) -> AsyncIterator[Desk]:
    admin = await world.admin(ADMIN)
    async with connect(f"127.0.0.1:{world.running.port}") as channel:
        yield Desk(world, invitation_grpc.InvitationServiceStub(channel), admin)


async def may_send_again(desk: Desk) -> None:
    await desk.world.sql("UPDATE code_limits SET send_times = '{}'")


async def test_a_person_who_is_invited_registers_with_a_proven_address(desk: Desk) -> None:
    made = await desk.invite()
    assert (made.email, made.role, made.language) == (EMAIL, "student", "en")
    life = made.expire_time.ToDatetime(UTC) - datetime.now(UTC)
    assert timedelta(days=7) - life < timedelta(minutes=1)
    [listed] = (await desk.open()).invitations
    assert listed == made

    token = await desk.token()
    assert await desk.check(token) == made
    answer = await desk.accept(token)

    assert (answer.user.email, answer.user.role) == (EMAIL, "student")
    assert answer.user.email_verified
    assert answer.profile.user_id == answer.user.id
    assert (await desk.world.login(EMAIL)).token
    assert len(desk.world.sink.to(EMAIL)) == 1  # no code: the address is proven
    assert not (await desk.open()).invitations


async def test_a_repeat_of_an_acceptance_gets_the_same_answer_for_ten_minutes(desk: Desk) -> None:
    await desk.invite()
    token = await desk.token()
    answers = await asyncio.gather(*(desk.accept(token) for _ in range(5)))
    assert all(answer == answers[0] for answer in answers)
    assert await desk.accept(token) == answers[0]
    assert await reason_of(desk.check(token)) == "INVITATION_NOT_FOUND"
    await desk.world.sql("UPDATE codes SET spend_time = spend_time - interval '10 minutes'")
    assert await reason_of(desk.accept(token)) == "INVITATION_NOT_FOUND"


async def _end(desk: Desk, made: invitation_pb.Invitation) -> None:
    await desk.end(made)
    assert await reason_of(desk.end(made)) == "INVITATION_NOT_FOUND"


async def _replace(desk: Desk, made: invitation_pb.Invitation) -> None:
    await may_send_again(desk)
    other = "aDa@example.com"
    await desk.invite(other)
    assert (await desk.check(await desk.token(other))).id != made.id


async def _expire(desk: Desk, made: invitation_pb.Invitation) -> None:
    await desk.world.sql("UPDATE codes SET expire_time = clock_timestamp() WHERE id = %s", made.id)


async def _spoil(desk: Desk, made: invitation_pb.Invitation) -> None:
    await desk.world.sql(
        """UPDATE codes SET payload = '{"role": "admin"}' WHERE id = %s""", made.id
    )


async def _swap(desk: Desk, made: invitation_pb.Invitation) -> None:
    await desk.world.sql("UPDATE codes SET email = 'eve@example.com' WHERE id = %s", made.id)


ENDINGS = {each.__name__: each for each in (_end, _replace, _expire, _spoil, _swap)}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_an_ended_invitation_is_refused_with_one_answer(desk: Desk, ending: str) -> None:
    made = await desk.invite()
    token = await desk.token()
    await ENDINGS[ending](desk, made)
    assert made.id not in {each.id for each in (await desk.open()).invitations}
    assert await reason_of(desk.check(token)) == "INVITATION_NOT_FOUND"
    assert await reason_of(desk.accept(token)) == "INVITATION_NOT_FOUND"
    assert not await desk.world.sql("SELECT 1 FROM users WHERE email = lower(%s)", EMAIL)


async def test_a_wrong_token_opens_nothing(desk: Desk) -> None:
    await desk.invite()
    token = await desk.token()
    wrong = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    for each in (wrong, token[:-1], token + "A", "x", "\N{SNOWMAN}" * 64, "A" * 64):
        assert await reason_of(desk.check(each)) == "INVITATION_NOT_FOUND"
        assert await reason_of(desk.accept(each)) == "INVITATION_NOT_FOUND"
    with pytest.raises(InvalidArgument):
        await desk.accept("")
    [row] = await desk.world.sql(
        "SELECT codes::text AS line FROM codes WHERE purpose = 'invitation'"
    )
    assert token not in row.line


async def test_an_invitation_opens_nothing_for_other_purposes(desk: Desk) -> None:
    made = await desk.invite()
    token, auth = await desk.token(), desk.world.auth
    code = {"flow_id": made.id, "email": EMAIL, "otp": "123456"}
    reset = auth_pb.ResetPasswordRequest(**code, new_password=PASSWORD)
    assert await reason_of(auth.VerifyOtp(auth_pb.VerifyOtpRequest(**code))) == "OTP_INVALID"
    assert await reason_of(auth.VerifyEmail(auth_pb.VerifyEmailRequest(**code))) == "OTP_INVALID"
    assert await reason_of(auth.ResetPassword(reset)) == "OTP_INVALID"
    mfa = auth_pb.VerifyMfaRequest(mfa_token=token, code="123456")
    assert await reason_of(auth.VerifyMfa(mfa)) == "OTP_INVALID"


async def test_the_form_of_an_account_depends_on_the_role_of_its_invitation(desk: Desk) -> None:
    await desk.invite(role="brand")
    token = await desk.token()
    with pytest.raises(InvalidArgument) as caught:
        await desk.accept(token, password="short")
    fields = {each.field for each in caught.value.violations}
    names = {"first_name", "last_name"}
    assert fields == names | {"company", "company_size", "user_role", "password"}
    answer = await desk.accept(
        token,
        first_name="Ada",
        last_name="Lovelace",
        company="Engines",
        company_size="1-10",
        user_role="founder",
    )
    assert answer.user.role == "brand"


async def test_an_address_with_an_account_is_not_invited(desk: Desk) -> None:
    await desk.world.register(EMAIL)
    assert await reason_of(desk.invite()) == "EMAIL_TAKEN"


async def test_an_address_that_has_an_account_by_now_is_not_listed(desk: Desk) -> None:
    await desk.invite()
    token = await desk.token()
    await desk.world.register(EMAIL)
    assert not (await desk.open()).invitations
    assert await reason_of(desk.accept(token)) == "EMAIL_TAKEN"


async def test_an_acceptance_that_is_undone_leaves_the_invitation_open(
    desk: Desk, profile: FakeProfile
) -> None:
    await desk.invite()
    token = await desk.token()
    profile.refuses_phones = True
    assert await reason_of(desk.accept(token)) == "PHONE_TAKEN"
    await desk.world.settled()
    profile.refuses_phones = False
    assert (await desk.accept(token)).user.id


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"role": ""}, "role"),
        ({"role": "admin"}, "role"),
        ({"email": "x"}, "email"),
        ({"language": "fr"}, "language"),
        ({"days": -1}, "days"),
        ({"days": 31}, "days"),
    ],
)
async def test_a_wrong_invitation_names_its_field(
    desk: Desk, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await desk.invite(**{"email": EMAIL} | fields)
    assert {each.field for each in caught.value.violations} == {field}


async def test_only_administrators_and_the_operator_invite(desk: Desk) -> None:
    member = await desk.world.member("eve@example.com")
    eve = Desk(desk.world, desk.stub, member)
    assert await reason_of(eve.invite()) == "FORBIDDEN"
    assert await reason_of(eve.open()) == "FORBIDDEN"
    made = await desk.invite()
    assert await reason_of(eve.end(made)) == "FORBIDDEN"


async def test_a_program_invites_with_an_api_key_of_that_scope(desk: Desk) -> None:
    async with connect(f"127.0.0.1:{desk.world.running.port}") as channel:
        keys = key_grpc.ApiKeyServiceStub(channel)
        made = {
            scope: await keys.CreateApiKey(
                key_pb.CreateApiKeyRequest(user_id="me", name="team", scopes=[scope]),
                metadata=desk.admin.proof,
            )
            for scope in ("lockstep.auth.v1.InvitationService", "lockstep.auth.v1.MailService")
        }
    request = invitation_pb.CreateInvitationRequest(email=EMAIL, role="student")
    right, other = (bearer(each.key) for each in made.values())
    assert await reason_of(desk.stub.CreateInvitation(request, metadata=other)) == "FORBIDDEN"
    assert (await desk.stub.CreateInvitation(request, metadata=right)).id


async def test_an_address_is_invited_once_a_minute_and_five_times_an_hour(desk: Desk) -> None:
    await desk.invite()
    assert await reason_of(desk.invite()) == "TOO_MANY_REQUESTS"
    for _ in range(4):
        await desk.world.sql(A_MINUTE_AGO)
        await desk.invite()
    await desk.world.sql(A_MINUTE_AGO)
    assert await reason_of(desk.invite()) == "TOO_MANY_REQUESTS"


async def test_strangers_spend_nothing_of_an_invitation(desk: Desk) -> None:
    auth = desk.world.auth
    for _ in range(2):
        await may_send_again(desk)
        await auth.SendOtp(auth_pb.SendOtpRequest(email=EMAIL, password=PASSWORD))
    await desk.invite()
    token = await desk.token()
    for _ in range(20):
        assert await reason_of(desk.accept("A" * 64)) == "INVITATION_NOT_FOUND"
    assert (await desk.accept(token)).user.id


async def test_one_administrator_mails_a_hundred_strangers_an_hour(desk: Desk) -> None:
    await desk.invite("first@example.com")
    places = Places(KeyRing.load(desk.world.keys, "auth").secrets["pseudonyms"])
    await desk.world.sql(
        "UPDATE code_limits SET send_times = array_fill(clock_timestamp(), ARRAY[%s]) "
        "WHERE account_hmac = %s",
        INVITATIONS_AN_HOUR - 1,
        places.account(CanonicalEmail(ADMIN)),
    )
    inviting = (desk.invite(f"at-once-{number}@example.com") for number in range(6))
    at_once = await asyncio.gather(*map(reason_of, inviting))
    assert Counter(at_once) == {None: 1, "TOO_MANY_REQUESTS": 5}
    other = Desk(desk.world, desk.stub, await desk.world.admin("other@example.com"))
    await other.invite("third@example.com")


async def test_every_step_of_an_invitation_leaves_a_line(desk: Desk) -> None:
    made = await desk.invite()
    await desk.check(await desk.token())
    await reason_of(desk.check("A" * 64))
    await desk.accept(await desk.token())
    ended = await desk.invite("eve@example.com")
    await desk.end(ended)
    lines = await desk.lines()
    assert [line.event for line in lines] == [
        "user_invited",
        "code_refused",
        "code_accepted",
        "user_invited",
        "user_invitation_ended",
    ]
    assert [line.actor for line in lines] == [
        desk.admin.id,
        None,
        None,
        desk.admin.id,
        desk.admin.id,
    ]
    assert lines[0].detail == {"role": "student", "flow": made.id}
    assert lines[0].account == lines[2].account
    assert "example.com" not in str(lines)


async def test_invitations_are_listed_page_by_page(desk: Desk) -> None:
    made = [await desk.invite(f"guest{number}@example.com") for number in range(5)]
    first = await desk.open(page_size=3)
    second = await desk.open(page_size=3, page_token=first.next_page_token)
    found = [*first.invitations, *second.invitations]
    assert [each.id for each in found] == [each.id for each in reversed(made)]
    assert not second.next_page_token
    assert await reason_of(desk.open(page_token="x")) == "INVALID_FIELD"


async def test_a_deleted_account_leaves_no_invitation(desk: Desk) -> None:
    await desk.invite()
    await may_send_again(desk)
    member = await desk.world.member(EMAIL)
    await desk.world.auth.DeleteUser(auth_pb.DeleteUserRequest(user_id="me"), metadata=member.proof)
    await desk.world.settled()
    assert not await desk.world.sql("SELECT 1 FROM codes WHERE purpose = 'invitation'")


async def test_an_invitation_outlives_the_administrator_who_made_it(desk: Desk) -> None:
    """It gives nothing that Register refuses."""
    await desk.invite()
    await desk.world.sql("UPDATE users SET status = 'DISABLED' WHERE id = %s", desk.admin.id)
    assert (await desk.accept(await desk.token())).user.role == "student"


@pytest.mark.parametrize(("language", "words"), [("de", "eingeladen"), ("en", "invited")])
async def test_the_mail_has_a_link_in_the_language_that_was_asked_for(
    make_settings: Callable[..., AuthSettings], mail: tuple[Sink, int], language: str, words: str
) -> None:
    settings = make_settings(product_name="Widgets", link_base="https://widgets.example/")
    async with (
        serving_auth(settings, mail[0]) as world,
        channel_as(world, "operator") as channel,
    ):
        stub = invitation_grpc.InvitationServiceStub(channel)
        request = invitation_pb.CreateInvitationRequest(
            email=EMAIL, role="student", language=language, days=1
        )
        made = await stub.CreateInvitation(request)
        message = await world.sink.wait_for(EMAIL)
        until = made.expire_time.ToDatetime(UTC).date().isoformat()
        assert words in message["subject"]
        assert "Widgets" in message["subject"]
        for kind in ("plain", "html"):
            body = message.get_body((kind,))
            assert body is not None
            content = body.get_content()
            assert until in content
            links = re.findall(r"https://widgets\.example/#/invitation\?token=([\w-]{64})", content)
            assert links
        shown = await stub.CheckInvitation(invitation_pb.CheckInvitationRequest(token=links[0]))
        assert shown == made
        accepted = await stub.AcceptInvitation(
            invitation_pb.AcceptInvitationRequest(
                token=links[0], password=PASSWORD, full_name="Ada", course="Analysis"
            )
        )
        [row] = await world.sql("SELECT language FROM users WHERE id = %s", accepted.user.id)
        assert row.language == language


async def test_the_command_invites_lists_and_ends(desk: Desk) -> None:
    world, guest = desk.world, "guest@example.com"
    code, output = await lockstep(
        world, *("admin", "invite", "--email", guest, "--role", "brand", "--days", "2")
    )
    [made] = (await desk.open()).invitations
    until = made.expire_time.ToDatetime(UTC).date().isoformat()
    # Auth runs in this process, too, so that its log is among the lines.
    assert code == 0
    assert f"invited {guest} until {until} ({made.id})" in output.splitlines()
    assert (made.role, made.language) == ("brand", "en")
    code, output = await lockstep(world, "admin", "invitations", "--json")
    [listed] = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert (code, listed["email"]) == (0, guest)
    code, output = await lockstep(world, "admin", "end-invitation", made.id)
    assert code == 0
    assert f"ended the invitation {made.id}" in output.splitlines()
    code, output = await lockstep(world, "admin", "end-invitation", made.id)
    assert (code, output) == (1, f"there is no open invitation {made.id}")
    code, output = await lockstep(world, "admin", "invite", "--email", guest, "--role", "king")
    assert code == 1
    assert "role" in output
