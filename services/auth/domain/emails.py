"""E-mail addresses: checked, and in the one form by which they are compared."""

from __future__ import annotations

from email_validator import EmailNotValidError, validate_email

from services.auth.model import Email

EMAIL_MAX = 254  # RFC 5321, 4.5.3.1.3


def parse_email(text: str) -> Email | None:
    """Read an address, or return None when it is not one.

    The domain is not looked up. The local part is ASCII, so that no look-alike can
    pass for another (Unicode TR 39); international domains are accepted.
    """
    trimmed = text.strip()
    if len(trimmed) > EMAIL_MAX:
        return None
    try:
        checked = validate_email(trimmed, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError:
        return None
    ascii_form = checked.ascii_email
    return Email(typed=trimmed, canonical=ascii_form.lower()) if ascii_form else None
