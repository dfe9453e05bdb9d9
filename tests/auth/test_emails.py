"""E-mail addresses: each that is accepted can be mailed."""

from __future__ import annotations

from email import message_from_bytes, policy
from uuid import uuid4

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES
from hypothesis import example, given
from hypothesis import strategies as st
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import InvalidArgument

from services.auth.domain import email_templates as mails
from services.auth.domain.email_templates import MailWriter
from services.auth.domain.emails import allow_domains, parse_email
from services.auth.domain.outbox import MailServer
from tests.auth.world import World

CONTENT = MailWriter().write(mails.password_changed(), None)
SERVER = MailServer("smtp://127.0.0.1:1", sender="Lockstep <no-reply@lockstep.example>")


@given(st.text("aA1.!#$%&'*+-/=?^_`{|}~\"<>@ \u00e4\u212a", max_size=70))
@example("=?utf-8?q?a?=")
@example("a" * 65)
def test_every_address_that_is_accepted_can_be_put_into_a_mail(local_part: str) -> None:
    email = parse_email(f"{local_part}@example.com")
    if email is None:
        return
    sent = SERVER._message(email.mailbox, CONTENT, uuid4())
    read = message_from_bytes(sent.as_bytes(), policy=policy.SMTP)
    assert [each.addr_spec for each in read["To"].addresses] == [email.mailbox]
    assert len(email.mailbox.rpartition("@")[0]) <= 64  # RFC 5321, 4.5.3.1.1


@pytest.mark.parametrize("email", ["x@ad.local", "x@shop.test", "x@localhost", "x@a.INVALID"])
async def test_a_reserved_domain_is_said_to_be_one(world: World, email: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await world.register(email)
    [violation] = caught.value.violations
    assert violation.field == "email"
    assert "reserved domain" in violation.description


async def test_an_installation_may_want_a_reserved_domain(
    world: World,
) -> None:
    kept = list(SPECIAL_USE_DOMAIN_NAMES)
    try:
        allow_domains("LOCAL, unknown")
        await world.register("x@ad.local")
        request = auth_pb.RequestPasswordResetRequest(email="x@shop.test")
        with pytest.raises(InvalidArgument):
            await world.auth.RequestPasswordReset(request)
    finally:
        SPECIAL_USE_DOMAIN_NAMES[:] = kept
