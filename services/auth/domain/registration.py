"""What a registration is told, and the rules that it has to satisfy."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.auth.domain import passwords
from services.auth.domain.emails import checked_email
from services.auth.model import Email
from services.common.vocabulary import (
    ADDRESS_MAX,
    COMPANY_MAX,
    COMPANY_SIZES,
    COURSE_MAX,
    NAME_MAX,
    Role,
    phone,
    user_role,
)
from services.kernel.validation import Violations

ROLES = (Role.CUSTOMER, Role.CREATOR, Role.BRAND, Role.STUDENT)


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
    v = Violations()
    email = checked_email(v, asked.email, "email")
    _check_password(v, asked, email)
    role = _role(v, asked)
    needs = _needs(role) if details_required else frozenset()
    full_name, first_name, last_name = _names(v, asked, needs)
    company_needed = "company" in needs or bool(asked.company)
    details = Details(
        email=email,
        role=role,
        full_name=full_name,
        first_name=first_name,
        last_name=last_name,
        phone_number=phone(v, asked.phone_number, "phone_number", required="phone" in needs),
        address=v.text(asked.address, "address", max_length=ADDRESS_MAX, multiline=True),
        course=v.text(asked.course, "course", max_length=COURSE_MAX, required="course" in needs),
        company=v.text(
            asked.company, "company", max_length=COMPANY_MAX, required="company" in needs
        ),
        company_size=v.choice(
            asked.company_size, "company_size", COMPANY_SIZES, required=company_needed
        ),
        user_role=user_role(v, asked.user_role, "user_role", required=company_needed),
    )
    v.raise_any()
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


def _check_password(v: Violations, asked: Registration, email: Email) -> None:
    if not asked.password:
        v.add("password", "is required")
    else:
        for fault in passwords.faults(asked.password, email=email.canonical):
            v.add("password", fault)
    if asked.confirm_password is not None and asked.confirm_password != asked.password:
        v.add("confirm_password", "must be the same as password")


def _role(v: Violations, asked: Registration) -> Role:
    if not asked.role:
        return Role.STUDENT if asked.course else Role.CUSTOMER
    chosen = v.choice(asked.role, "role", ROLES)
    return Role(chosen) if chosen else Role.CUSTOMER


def _names(
    v: Violations, asked: Registration, needs: frozenset[str]
) -> tuple[str, str | None, str | None]:
    """Return full, first and last name; the latter two from the first where absent."""
    separate = "first_and_last" in needs
    first = v.text(asked.first_name, "first_name", max_length=NAME_MAX, required=separate)
    last = v.text(asked.last_name, "last_name", max_length=NAME_MAX, required=separate)
    named = first is not None and last is not None
    full = v.text(
        asked.full_name, "full_name", max_length=NAME_MAX, required="name" in needs and not named
    )
    if full is not None and first is None and last is None:
        first, _, rest = full.partition(" ")
        last = rest.strip() or None
    return full or " ".join(part for part in (first, last) if part), first, last
