"""E-mail addresses: their check, and their canonical form."""

from __future__ import annotations

import hashlib

from email_validator import EmailNotValidError, validate_email

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
        checked = validate_email(trimmed, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError:
        return None
    ascii_form = checked.ascii_email
    if ascii_form is None:
        return None
    return Email(typed=trimmed, canonical=CanonicalEmail(ascii_form.lower()))


def comparable_form(text: str) -> CanonicalEmail:
    """Return the form by which Login looks for an account.

    A text that is not an e-mail address gets one, too, although no account can have it:
    Login must treat both alike. It is a hash, because no rule has passed the text itself.
    """
    email = parse_email(text)
    if email is not None:
        return email.canonical
    return CanonicalEmail(hashlib.sha256(text.strip().lower().encode()).hexdigest())
