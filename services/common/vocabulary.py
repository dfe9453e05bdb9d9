"""The words and limits that several services share: roles, sizes, lengths, phone numbers."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from services.kernel.validation import Violations

NAME_MAX: Final = 100
COMPANY_MAX: Final = 200
COURSE_MAX: Final = 200
USER_ROLE_MAX: Final = 50
ADDRESS_MAX: Final = 300
DESCRIPTION_MAX: Final = 5000
BIO_MAX: Final = 2000

COMPANY_SIZES: Final = ("1-10", "11-50", "51-200", "201-1000", "1000+")

_PHONE = re.compile(r"\+?[0-9]{10,15}")
_INTERNATIONAL = re.compile(r"00(?=[0-9]{10,15})")  # as it is dialled in most countries
_PHONE_SEPARATORS = re.compile(r"[ \-()\[\]]")
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Role(StrEnum):
    """The role of a user; Register never gives `admin`."""

    CUSTOMER = "customer"
    CREATOR = "creator"
    BRAND = "brand"
    STUDENT = "student"
    ADMIN = "admin"


def phone(v: Violations, value: str | None, field: str, *, required: bool = False) -> str | None:
    """Check a phone number and return it as digits after a plus, or None.

    A leading 00 is read as a plus, so that a number has one spelling.
    """
    bare = _PHONE_SEPARATORS.sub("", (value or "").strip())
    if not bare:
        if required:
            v.add(field, "is required")
        return None
    bare = _INTERNATIONAL.sub("+", bare, count=1) if _INTERNATIONAL.match(bare) else bare
    if bare.startswith("+0"):  # no country code does (ITU-T E.164)
        v.add(field, "must not begin with 0 after the plus")
        return None
    if not _PHONE.fullmatch(bare):
        v.add(field, "must be 10 to 15 digits, optionally after a plus")
        return None
    return "+" + bare.lstrip("+")


def user_role(v: Violations, value: str | None, field: str, *, required: bool) -> str | None:
    """Check a user's role at a company: a slug such as marketing-manager, or None."""
    text = v.text(value, field, max_length=USER_ROLE_MAX, required=required)
    if text and len(text) <= USER_ROLE_MAX and not _SLUG.fullmatch(text):
        v.add(field, "must be a slug such as marketing-manager")
    return text
