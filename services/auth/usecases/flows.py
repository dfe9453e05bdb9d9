"""What every use case that takes a mailed code is told, checked in one way."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain.emails import checked_email
from services.auth.model import Email
from services.kernel.errors import InvalidField
from services.kernel.ids import parse_id
from services.kernel.validation import Violations


@dataclass(frozen=True, slots=True, repr=False)
class SubmittedCode:
    """A mailed code as it was presented."""

    flow_id: str
    email: str
    otp: str


def check(proof: SubmittedCode, v: Violations | None = None) -> tuple[UUID, Email]:
    """Return the flow and the e-mail of a proof.

    Args:
        proof: What was presented.
        v: What is wrong with the rest of the request.

    Raises:
        InvalidField: With every wrong field.
    """
    v = v or Violations()
    flow_id = _flow_id(v, proof.flow_id)
    email = checked_email(v, proof.email, "email")
    if not proof.otp.strip():
        v.add("otp", "is required")
    v.raise_any()
    assert flow_id is not None
    return flow_id, email


def _flow_id(v: Violations, text: str) -> UUID | None:
    if not text:
        v.add("flow_id", "is required")
        return None
    try:
        return parse_id(text, field="flow_id")
    except InvalidField as error:
        v.violations.extend(error.violations)
        return None
