"""The content of Auth's mails, as text and as HTML, in every language.

The texts are in the folder `mail_texts`: a file for each language, with the same mails and the
same variables. A test renders each of them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from string import Template
from typing import Final

from services.auth.domain.languages import DEFAULT, Language

_FOLDER = resources.files("services.auth.domain") / "mail_texts"
_PAGE: Final = Template((_FOLDER / "page.html").read_text("utf-8"))
_TEXTS: Final = {
    each: tomllib.loads((_FOLDER / f"{each}.toml").read_text("utf-8")) for each in Language
}
_CODE_STYLE: Final = "margin:24px 0;font:700 32px/1 ui-monospace,monospace;letter-spacing:6px"
_WRAPPED: Final = "margin:24px 0;font:16px/1.5 ui-monospace,monospace;overflow-wrap:anywhere"
_ALONE: Final = ("$code", "$token", "$link")  # stand apart, where nothing ends a link early


@dataclass(frozen=True, slots=True, repr=False)
class EmailContent:
    """A mail without its envelope."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True, repr=False)
class Mail:
    """A mail before it is written.

    Attributes:
        name: Its section in the files of texts.
        variables: What the text names beside the product.
    """

    name: str
    variables: Mapping[str, str] = field(default_factory=dict)


def sign_up(code: str) -> Mail:
    """Return the mail with the code that ends a sign-up."""
    return Mail("sign_up", {"code": code})


def verification(code: str) -> Mail:
    """Return the mail with the code that confirms an e-mail address."""
    return Mail("verification", {"code": code})


def password_reset(code: str) -> Mail:
    """Return the mail with the code that allows a new password."""
    return Mail("password_reset", {"code": code})


def email_change(code: str) -> Mail:
    """Return the mail with the code that gives an account another e-mail address."""
    return Mail("email_change", {"code": code})


def invitation(link: str, until: str) -> Mail:
    """Return the mail with the link of an invitation, which is good until the end of a day."""
    return Mail("invitation", {"link": link, "until": until})


def invitation_token(token: str, until: str) -> Mail:
    """Return the mail of an invitation where there are no pages: its token alone."""
    return Mail("invitation_token", {"token": token, "until": until})


def account_exists() -> Mail:
    """Tell an account's owner that somebody wanted to sign up with its e-mail address."""
    return Mail("account_exists")


def email_changed(new_email: str) -> Mail:
    """Tell an account's old e-mail address about the new one."""
    return Mail("email_changed", {"new_email": new_email})


def password_changed() -> Mail:
    """Tell an account's owner that its password was changed."""
    return Mail("password_changed")


def second_factor_on() -> Mail:
    """Tell an account's owner that logins now take a second factor."""
    return Mail("second_factor_on")


def second_factor_off() -> Mail:
    """Tell an account's owner that logins take no second factor any more."""
    return Mail("second_factor_off")


def second_factor_reset() -> Mail:
    """Tell an account's owner that an administrator took the second factor off."""
    return Mail("second_factor_reset")


def recovery_code_used(left: int) -> Mail:
    """Tell an account's owner that a recovery code was used."""
    return Mail("recovery_code_used", {"left": str(left)})


def many_attempts() -> Mail:
    """Tell an account's owner that others keep trying to get in."""
    return Mail("many_attempts")


def order_paid(number: str, link: str) -> Mail:
    """Tell a buyer that an order is paid. The link may be empty, as of all mails about orders."""
    return Mail("order_paid", _of_order(number, link))


def order_fulfilled(number: str, link: str) -> Mail:
    """Tell a buyer that all of an order is shipped."""
    return Mail("order_fulfilled", _of_order(number, link))


def order_partly_cancelled(number: str, link: str) -> Mail:
    """Tell a buyer that a part of an order is cancelled, and its money given back."""
    return Mail("order_partly_cancelled", _of_order(number, link))


def order_cancelled(number: str, link: str) -> Mail:
    """Tell a buyer that an order is cancelled, and its money given back."""
    return Mail("order_cancelled", _of_order(number, link))


def order_returned(number: str, link: str) -> Mail:
    """Tell a buyer that products came back, and their money is given back."""
    return Mail("order_returned", _of_order(number, link))


def _of_order(number: str, link: str) -> Mapping[str, str]:
    half = len(number) // 2  # people read a number in two groups
    return {"number": f"{number[:half]}-{number[half:]}", "link": link}


@dataclass(frozen=True, slots=True)
class MailWriter:
    """Writes mails.

    Attributes:
        product: The name of the product.
        link_base: The URL of its pages, to which mails lead; None: they lead nowhere.
    """

    product: str = "Lockstep"
    link_base: str | None = None

    def write(self, mail: Mail, language: str | None) -> EmailContent:
        """Write a mail in a language, or in English if no mail is written in that one."""
        chosen = Language(language) if language in _TEXTS else DEFAULT
        section = _TEXTS[chosen][mail.name]
        values = {name: _one_line(value) for name, value in mail.variables.items()}
        values["product"] = _one_line(self.product)
        subject = Template(section["subject"]).substitute(values)
        paragraphs = [
            each
            for each in section["text"].strip().split("\n\n")
            if each not in _ALONE or values[each[1:]]
        ]
        texts = [_as_text(each, values) for each in paragraphs]
        footer = [self.product] if self.link_base is None else [self.product, self.link_base]
        html = _PAGE.substitute(
            language=chosen,
            subject=escape(subject),
            preview=escape(texts[-1]),
            body="\n".join(_as_html(each, values) for each in paragraphs),
            footer=self._footer(),
        )
        text = "\n\n".join((*texts, "-- \n" + "\n".join(footer))) + "\n"
        return EmailContent(subject=subject, text=text, html=html)

    def link(self, path: str) -> str | None:
        """Return the address of one of the product's pages; None when there are none."""
        return None if self.link_base is None else f"{self.link_base}/#/{path}"

    def _footer(self) -> str:
        name = escape(self.product)
        if self.link_base is None:
            return name
        return f'<a href="{escape(self.link_base)}" style="color:inherit">{name}</a>'


def _as_text(paragraph: str, values: Mapping[str, str]) -> str:
    text = Template(paragraph).substitute(values)
    return f"    {text}" if paragraph in _ALONE else text


def _as_html(paragraph: str, values: Mapping[str, str]) -> str:
    safe = {name: escape(value) for name, value in values.items()}
    if paragraph == "$code":
        return f'<p style="{_CODE_STYLE}">{safe["code"]}</p>'
    if paragraph == "$token":
        return f'<p style="{_WRAPPED}">{safe["token"]}</p>'
    if paragraph == "$link":
        return f'<p><a href="{safe["link"]}">{safe["link"]}</a></p>'
    return f"<p>{Template(escape(paragraph, quote=False)).substitute(safe)}</p>"


def _one_line(value: str) -> str:
    """Return a value without line breaks, which would end a header."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", value)
