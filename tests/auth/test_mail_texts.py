"""The texts of mails: every mail in every language, with every variable, as text and as HTML."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from email import message_from_bytes, policy
from html import unescape
from uuid import uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lockstep.auth.v1 import auth_service_pb2 as auth_pb

from services.auth.domain import email_templates as mails
from services.auth.domain.email_templates import _TEXTS, EmailContent, Mail, MailWriter
from services.auth.domain.languages import Language, negotiate
from services.auth.domain.outbox import MailServer
from services.auth.settings import AuthSettings
from tests.auth.world import PASSWORD, Sink, World, code_in, serving_auth

EMAIL = "ada@example.com"
WRITER = MailWriter("Widget Works", "https://widgets.example")
SERVER = MailServer("smtp://127.0.0.1:1", sender="Lockstep <no-reply@lockstep.example>")
HOSTILE = 'x\r\nBcc: eve@example.com\r\n\r\n<script>alert(1)</script>&"$product'
GERMAN = (("accept-language", "de-CH, en;q=0.5"),)
MAKERS: dict[str, Callable[..., Mail]] = {
    name: maker
    for name, maker in vars(mails).items()
    if inspect.isfunction(maker) and maker.__annotations__.get("return") == "Mail"
}


def made(name: str, value: str = "012345") -> Mail:
    """Return a mail with a value for each variable."""
    return MAKERS[name](*(value for _ in inspect.signature(MAKERS[name]).parameters))


def test_every_mail_has_a_text_in_every_language_and_none_too_many() -> None:
    assert len(MAKERS) == 19
    for language in Language:
        assert _TEXTS[language].keys() == MAKERS.keys(), language


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("name", MAKERS)
def test_every_mail_renders_with_every_variable(name: str, language: Language) -> None:
    mail = made(name)
    content = WRITER.write(mail, language)
    for part in (content.text, unescape(content.html)):
        assert "Widget Works" in part
        assert "https://widgets.example" in part
        for value in mail.variables.values():
            assert value in part
    for part in (content.subject, content.text, content.html):
        assert re.search(r"\$\w|\$\{", part) is None
        assert part.strip()
    if "code" in mail.variables:
        assert content.subject.startswith("012345 ")  # a phone offers it
    assert f'lang="{language}"' in content.html
    section = _TEXTS[language][name]
    named = set(re.findall(r"\$(\w+)", section["subject"] + section["text"]))
    assert named == {*mail.variables, "product"}


@pytest.mark.parametrize("name", MAKERS)
def test_languages_differ(name: str) -> None:
    contents = [WRITER.write(made(name), each) for each in Language]
    assert len({content.subject for content in contents}) == len(Language)
    assert len({content.text for content in contents}) == len(Language)


@pytest.mark.parametrize("language", [None, "fr", "", "../en"])
def test_a_language_without_texts_gets_english(language: str | None) -> None:
    assert WRITER.write(made("sign_up"), language) == WRITER.write(made("sign_up"), "en")


def headers(content: EmailContent) -> dict[str, str]:
    sent = SERVER._message(EMAIL, content, uuid4()).as_bytes()
    return dict(message_from_bytes(sent, policy=policy.SMTP).items())


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("name", MAKERS)
def test_no_variable_adds_a_header_or_markup(name: str, language: Language) -> None:
    hostile = MailWriter(HOSTILE, 'https://x.example/"><script>')
    content = hostile.write(made(name, HOSTILE), language)
    assert headers(content).keys() == headers(WRITER.write(made(name), language)).keys()
    assert "\r" not in content.subject
    assert "\n" not in content.subject
    assert "<script>" not in content.html


@settings(deadline=None)
@given(st.text(max_size=40))
@example("a\x85Bcc: b")
def test_no_text_at_all_adds_a_header(value: str) -> None:
    plain = headers(WRITER.write(made("sign_up"), "de")).keys()
    assert headers(MailWriter(value).write(made("sign_up", value), "de")).keys() == plain


PREFERENCES = {
    "": None,
    "de": Language.DE,
    "de-AT,de;q=0.9,en;q=0.8": Language.DE,
    "EN-us": Language.EN,
    "fr, de;q=0.5, en;q=0.7": Language.EN,
    "fr": None,
    "fr, *;q=0.1": Language.EN,
    "de;q=0": None,
    "en, de": Language.EN,
    "de;q=2, en;q=0.1": Language.EN,
    "de;q=x": None,
    " de ; q=0.5 ,,": Language.DE,
    "de" * 5000: None,
    "\x00de": None,
}


@pytest.mark.parametrize("header", PREFERENCES, ids=lambda each: repr(each[:30]))
def test_the_preferred_language_is_found(header: str) -> None:
    assert negotiate(header) is PREFERENCES[header]


@settings(deadline=None)
@given(st.text(max_size=2000))
def test_no_header_is_refused(header: str) -> None:
    assert negotiate(header) in (None, *Language)


async def test_a_user_gets_mail_in_the_language_of_the_registration(world: World) -> None:
    request = auth_pb.RegisterRequest(
        email=EMAIL, password=PASSWORD, full_name="Ada", course="Analysis"
    )
    await world.auth.Register(request, metadata=GERMAN)
    assert "bestätigt" in (await world.sink.wait_for(EMAIL))["subject"]
    member = world.of(await world.login(EMAIL))
    change = auth_pb.ChangePasswordRequest(
        current_password=PASSWORD, new_password="Another-horse-8"
    )
    await world.auth.ChangePassword(change, metadata=member.proof)
    subject = (await world.sink.wait_for(EMAIL, count=2))["subject"]
    assert subject == "Ihr Passwort wurde geändert"


async def test_a_login_renews_the_language_and_a_client_without_one_keeps_it(
    world: World,
) -> None:
    await world.register(EMAIL)
    login = auth_pb.LoginRequest(email=EMAIL, password=PASSWORD)
    await world.auth.Login(login, metadata=GERMAN)
    await world.login(EMAIL)
    request = auth_pb.RequestPasswordResetRequest(email=EMAIL)
    await world.auth.RequestPasswordReset(request, metadata=(("accept-language", "en"),))
    assert "Passwort" in (await world.sink.wait_for(EMAIL, count=2))["subject"]


async def test_a_sign_up_by_code_and_its_account_have_the_language_of_the_sign_up(
    world: World,
) -> None:
    request = auth_pb.SendOtpRequest(email=EMAIL, password=PASSWORD)
    flow_id = (await world.auth.SendOtp(request, metadata=GERMAN)).flow_id
    message = await world.sink.wait_for(EMAIL)
    assert "Registrierung" in message["subject"]
    code = auth_pb.VerifyOtpRequest(flow_id=flow_id, email=EMAIL, otp=code_in(message))
    await world.auth.VerifyOtp(code)
    [row] = await world.sql("SELECT language FROM users")
    assert row.language == "de"


async def test_without_a_language_of_the_account_that_of_the_request_counts(
    world: World,
) -> None:
    await world.register(EMAIL)
    request = auth_pb.RequestPasswordResetRequest(email=EMAIL)
    await world.auth.RequestPasswordReset(request, metadata=GERMAN)
    assert "Passwort" in (await world.sink.wait_for(EMAIL, count=2))["subject"]


async def test_a_language_that_this_process_does_not_know_harms_nothing(world: World) -> None:
    await world.register(EMAIL)
    await world.sql("UPDATE users SET language = 'fr'")
    await world.login(EMAIL)
    await world.auth.RequestPasswordReset(auth_pb.RequestPasswordResetRequest(email=EMAIL))
    assert "password" in (await world.sink.wait_for(EMAIL, count=2))["subject"]


async def test_an_installation_names_its_product_and_its_pages(
    make_settings: Callable[..., AuthSettings], mail: tuple[Sink, int]
) -> None:
    settings = make_settings(product_name="Widget Works", link_base="https://widgets.example/")
    async with serving_auth(settings, mail[0]) as world:
        await world.register(EMAIL)
        message = await world.sink.wait_for(EMAIL)
    for kind in ("plain", "html"):
        body = message.get_body((kind,))
        assert body is not None
        assert "Widget Works" in body.get_content()
        assert "https://widgets.example" in body.get_content()
        assert code_in(message) in body.get_content()
