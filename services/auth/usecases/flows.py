"""What every use case that takes a mailed code is told, checked in one way."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain.emails import parse_email
from services.auth.model import Email
from services.kernel.errors import InvalidField
from services.kernel.ids import parse_id
from services.kernel.validation import Problems


@dataclass(frozen=True, slots=True, repr=False)
class Proof:
    """A mailed code as it was presented."""

    flow_id: str
    email: str
    otp: str


def check(proof: Proof, wrong: Problems | None = None) -> tuple[UUID, Email]:
    """Return the flow and the address of a proof.

    Args:
        proof: What was presented.
        wrong: What is wrong with the rest of the request.

    Raises:
        InvalidField: With every wrong field.
    """
    wrong = wrong or Problems()
    flow_id = _flow_id(wrong, proof.flow_id)
    email = check_email(wrong, proof.email, "email")
    if not proof.otp.strip():
        wrong.add("otp", "is required")
    wrong.raise_any()
    assert flow_id is not None
    assert email is not None
    return flow_id, email


def check_email(wrong: Problems, text: str, field: str) -> Email | None:
    """Read an address, or note what is wrong with it."""
    email = parse_email(text)
    if not text.strip():
        wrong.add(field, "is required")
    elif email is None:
        wrong.add(field, "must be an e-mail address such as alice@example.com")
    return email


def _flow_id(wrong: Problems, text: str) -> UUID | None:
    if not text:
        wrong.add("flow_id", "is required")
        return None
    try:
        return parse_id(text, field="flow_id")
    except InvalidField as error:
        wrong.violations.extend(error.violations)
        return None
