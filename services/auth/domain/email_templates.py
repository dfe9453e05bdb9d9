"""The content of Auth's mails, as text and as HTML."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
</head>
<body style="margin:0;padding:24px;background:#f4f4f5;color:#18181b;font:16px/1.5 sans-serif">
<div style="display:none;max-height:0;overflow:hidden">{preview}</div>
<div style="max-width:480px;margin:auto;padding:32px;background:#fff;border-radius:8px">
<h1 style="margin:0 0 16px;font-size:20px">{title}</h1>
{body}
</div>
</body>
</html>
"""
_CODE = (
    '<p style="margin:24px 0;font:700 32px/1 ui-monospace,monospace;letter-spacing:6px">{code}</p>'
)


@dataclass(frozen=True, slots=True, repr=False)
class EmailContent:
    """A mail without its envelope."""

    subject: str
    text: str
    html: str


def sign_up(code: str) -> EmailContent:
    """Write the mail with the code that ends a sign-up."""
    return _with_code(code, "is your sign-up code", "Enter this code to finish signing up:")


def verification(code: str) -> EmailContent:
    """Write the mail with the code that confirms an e-mail address."""
    return _with_code(
        code, "confirms your e-mail address", "Enter this code to confirm this address:"
    )


def password_reset(code: str) -> EmailContent:
    """Write the mail with the code that allows a new password."""
    return _with_code(
        code, "is your password reset code", "Enter this code to choose a new password:"
    )


def email_change(code: str) -> EmailContent:
    """Write the mail with the code that gives an account another e-mail address."""
    return _with_code(
        code, "confirms your new e-mail address", "Enter this code to use this address from now on:"
    )


def account_exists() -> EmailContent:
    """Tell an account's owner that somebody wanted to sign up with its e-mail address."""
    return _notice(
        "You already have an account",
        "Somebody, perhaps you, wanted to sign up with this address, which has an account "
        "already. Log in with it, or reset the password if you don't remember it.",
    )


def email_changed(new_email: str) -> EmailContent:
    """Tell an account's old e-mail address about the new one."""
    return _notice(
        "Your e-mail address was changed",
        f"Your account now belongs to {new_email}. If this was not you, contact support at once.",
    )


def password_changed() -> EmailContent:
    """Tell an account's owner that its password was changed."""
    return _notice(
        "Your password was changed",
        "Your account has a new password. If this was not you, reset it at once.",
    )


def second_factor_on() -> EmailContent:
    """Tell an account's owner that logins now take a second factor."""
    return _notice(
        "Your account has a second factor",
        "From now on a login takes your password and a code of your app. If this was not you, "
        "reset your password at once, and ask an administrator for help.",
    )


def second_factor_off() -> EmailContent:
    """Tell an account's owner that logins take no second factor any more."""
    return _notice(
        "Your second factor was switched off",
        "From now on a login takes your password alone. If this was not you, reset your password "
        "at once.",
    )


def second_factor_reset() -> EmailContent:
    """Tell an account's owner that an administrator took the second factor off."""
    return _notice(
        "An administrator switched your second factor off",
        "From now on a login takes your password alone, and you are logged out everywhere. If you "
        "did not ask for this, reset your password at once.",
    )


def recovery_code_used(left: int) -> EmailContent:
    """Tell an account's owner that a recovery code was used."""
    return _notice(
        "A recovery code of your account was used",
        f"Somebody, perhaps you, logged in with your password and a recovery code. {left} of them "
        "are left. If this was not you, reset your password at once.",
    )


def many_attempts() -> EmailContent:
    """Tell an account's owner that others keep trying to get in."""
    return _notice(
        "Somebody keeps trying to get into your account",
        "There were a hundred wrong passwords or codes for your account within a day. New places "
        "now get few tries. You can log in as before from where you have logged in lately. You "
        "need to do nothing if your password is a good one.",
    )


def _with_code(code: str, purpose: str, instruction: str) -> EmailContent:
    after = "It is good for ten minutes. If you did not ask for it, ignore this mail."
    title = f"{code} {purpose}"  # a phone shows the subject, and offers the code in it
    body = f"<p>{instruction}</p>\n{_CODE.format(code=code)}\n<p>{after}</p>"
    return EmailContent(
        subject=title,
        text=f"{instruction}\n\n    {code}\n\n{after}\n",
        html=_PAGE.format(title=title, preview=f"{code}. {after}", body=body),
    )


def _notice(title: str, text: str) -> EmailContent:
    body = f"<p>{escape(text)}</p>"
    return EmailContent(
        subject=title,
        text=f"{text}\n",
        html=_PAGE.format(title=title, preview=escape(text), body=body),
    )
