"""E-mail addresses: their check, and their canonical form."""

from __future__ import annotations

import hashlib
from email import message_from_bytes
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from services.auth.model import CanonicalEmail, Email

EMAIL_MAX = 254  # RFC 5321, 4.5.3.1.3


def parse_email(text: str) -> Email | None:
    """Read an e-mail address; None when the text is not one.

    The domain is not looked up; international ones are accepted. The local part must be
    ASCII, so that a look-alike cannot pass for another one (Unicode TR 39).
    """
    trimmed = text.strip()
    if len(trimmed) > EMAIL_MAX:
        return None
    try:
        checked = validate_email(
            trimmed, check_deliverability=False, allow_smtputf8=False, strict=True
        )
    except EmailNotValidError:
        return None
    ascii_form = checked.ascii_email
    if ascii_form is None:
        return None
    email = Email(typed=trimmed, canonical=CanonicalEmail(ascii_form.lower()))
    return email if _is_mailable(email.mailbox) else None


def is_reserved(text: str) -> bool:
    """Say whether a text names a domain that is reserved, and so gets no mail (RFC 6761)."""
    domain = text.strip().rpartition("@")[2].rstrip(".").lower()
    return any(f".{domain}".endswith(f".{name}") for name in SPECIAL_USE_DOMAIN_NAMES)


def allow_domains(names: str | None) -> None:
    """Let e-mail addresses have these reserved domains, for the whole process.

    Args:
        names: The domains, separated by commas.
    """
    for each in (names or "").split(","):
        name = each.strip().lower()
        if name in SPECIAL_USE_DOMAIN_NAMES:
            SPECIAL_USE_DOMAIN_NAMES.remove(name)


def _is_mailable(mailbox: str) -> bool:
    """Say whether the header of a mail can name a mailbox, and is read as the same one.

    Its parser takes `=?utf-8?q?a?=@example.com` for an encoded word (RFC 2047).
    """
    try:
        message = EmailMessage(policy=SMTP_POLICY)
        message["To"] = Address(addr_spec=mailbox)
        read = message_from_bytes(message.as_bytes(), policy=SMTP_POLICY)["To"]
        return [each.addr_spec for each in read.addresses] == [mailbox]
    except (MessageError, ValueError, IndexError):
        return False


def comparable_form(text: str) -> CanonicalEmail:
    """Return the form by which Login looks for an account.

    A text that is not an e-mail address gets one, too, although no account can have it:
    Login must treat both alike. It is a hash, because no rule has passed the text itself.
    """
    email = parse_email(text)
    if email is not None:
        return email.canonical
    return CanonicalEmail(hashlib.sha256(text.strip().lower().encode()).hexdigest())
