"""Registrations: the roles to choose from, and the fields that each requires."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pydantic import TypeAdapter, ValidationError

from services.auth.model import Email
from services.common.vocabulary import Role

# The fields that a role requires, for each role that a registration may choose.
REQUIRED: Final = {
    Role.CUSTOMER: frozenset({"full_name", "phone_number"}),
    Role.CREATOR: frozenset({"first_name", "last_name"}),
    Role.BRAND: frozenset({"first_name", "last_name", "company"}),
    Role.STUDENT: frozenset({"full_name", "course"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """A registration in canonical form, without its password."""

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
    language: str | None = None  # of the mails; older sign-ups have none


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUp:
    """A sign-up that waits for its code: the payload of its flow."""

    details: Details
    password_hash: str = field(repr=False)


SIGN_UPS = TypeAdapter(SignUp)


def read_sign_up(payload: object) -> SignUp | None:
    """Read the payload of a flow; None when it is malformed."""
    try:
        return SIGN_UPS.validate_python(payload)
    except ValidationError:
        return None
