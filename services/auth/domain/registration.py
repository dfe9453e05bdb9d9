"""What a registration is told, and the rules that it has to satisfy."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from services.auth.domain import passwords
from services.auth.domain.emails import parse_email
from services.auth.model import Email, Role
from services.kernel.validation import ADDRESS_MAX, COMPANY_MAX, NAME_MAX, Problems

COURSE_MAX = 200
USER_ROLE_MAX = 50
ROLES = (Role.CUSTOMER, Role.CREATOR, Role.BRAND, Role.STUDENT)
COMPANY_SIZES = ("1-10", "11-50", "51-200", "201-1000", "1000+")

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A registration as it was asked for; None: the field is absent."""

    email: str
    password: str = field(repr=False)
    confirm_password: str | None = field(default=None, repr=False)
    role: str | None = None
    full_name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    phone_number: str | None = None
    address: str | None = None
    course: str | None = None
    company: str | None = None
    company_size: str | None = None
    user_role: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """A registration that satisfies every rule, in canonical form."""

    email: Email
    role: Role
    full_name: str
    first_name: str | None
    last_name: str | None
    phone_number: str | None
    address: str | None
    course: str | None
    company: str | None
    company_size: str | None
    user_role: str | None


def check(asked: Registration, *, details_required: bool = True) -> Details:
    """Check a registration.

    Args:
        asked: What was asked for.
        details_required: Whether everything that the role must give has to be there;
            a sign-up by code may leave it out.

    Raises:
        InvalidField: With every wrong field.
    """
    wrong = Problems()
    email = _email(wrong, asked.email)
    _check_password(wrong, asked, email)
    role = _role(wrong, asked)
    needs = _needs(role) if details_required else frozenset()
    full_name, first_name, last_name = _names(wrong, asked, needs)
    company_needed = "company" in needs or bool(asked.company)
    details = Details(
        email=email or Email("", ""),
        role=role,
        full_name=full_name,
        first_name=first_name,
        last_name=last_name,
        phone_number=wrong.phone(asked.phone_number, "phone_number", required="phone" in needs),
        address=wrong.text(asked.address, "address", longest=ADDRESS_MAX, lines=True),
        course=wrong.text(asked.course, "course", longest=COURSE_MAX, required="course" in needs),
        company=wrong.text(
            asked.company, "company", longest=COMPANY_MAX, required="company" in needs
        ),
        company_size=wrong.choice(
            asked.company_size, "company_size", COMPANY_SIZES, required=company_needed
        ),
        user_role=_user_role(wrong, asked.user_role, required=company_needed),
    )
    wrong.raise_any()
    return details


def _needs(role: Role) -> frozenset[str]:
    """Return what a role must give."""
    match role:
        case Role.CREATOR:
            return frozenset({"first_and_last"})
        case Role.BRAND:
            return frozenset({"first_and_last", "company"})
        case Role.STUDENT:
            return frozenset({"name", "course"})
        case _:
            return frozenset({"name", "phone"})


def _email(wrong: Problems, text: str) -> Email | None:
    if not text.strip():
        wrong.add("email", "is required")
        return None
    email = parse_email(text)
    if email is None:
        wrong.add("email", "must be an e-mail address such as alice@example.com")
    return email


def _check_password(wrong: Problems, asked: Registration, email: Email | None) -> None:
    if not asked.password:
        wrong.add("password", "is required")
    else:
        for fault in passwords.faults(asked.password, email=email.canonical if email else None):
            wrong.add("password", fault)
    if asked.confirm_password is not None and asked.confirm_password != asked.password:
        wrong.add("confirm_password", "must be the same as password")


def _role(wrong: Problems, asked: Registration) -> Role:
    if not asked.role:
        return Role.STUDENT if asked.course else Role.CUSTOMER
    chosen = wrong.choice(asked.role, "role", ROLES)
    return Role(chosen) if chosen else Role.CUSTOMER


def _names(
    wrong: Problems, asked: Registration, needs: frozenset[str]
) -> tuple[str, str | None, str | None]:
    """Return full, first and last name; the latter two from the first where absent."""
    separate = "first_and_last" in needs
    first = wrong.text(asked.first_name, "first_name", longest=NAME_MAX, required=separate)
    last = wrong.text(asked.last_name, "last_name", longest=NAME_MAX, required=separate)
    named = first is not None and last is not None
    full = wrong.text(
        asked.full_name, "full_name", longest=NAME_MAX, required="name" in needs and not named
    )
    if full is not None and first is None and last is None:
        first, _, rest = full.partition(" ")
        last = rest.strip() or None
    return full or " ".join(part for part in (first, last) if part), first, last


def _user_role(wrong: Problems, value: str | None, *, required: bool) -> str | None:
    text = wrong.text(value, "user_role", longest=USER_ROLE_MAX, required=required)
    if text is not None and len(text) <= USER_ROLE_MAX and not _SLUG.fullmatch(text):
        wrong.add("user_role", "must be a slug such as marketing-manager")
    return text
