"""Tokens of flows: they name a flow, and hold random bytes, of which the row has the hash.

Nobody guesses one, so that they need no limit of tries.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID

from services.auth.model import Purpose
from services.auth.store import codes
from services.auth.store.codes import Flow
from services.kernel.db.database import Reader
from services.kernel.ids import new_id

LENGTH: Final = 64

_ID_BYTES, _SECRET_BYTES = 16, 32


@dataclass(frozen=True, slots=True, repr=False)
class FlowToken:
    """A new token.

    Attributes:
        text: The token itself, for the one who gets it.
    """

    flow_id: UUID
    secret_hash: bytes
    text: str

    @classmethod
    def new(cls) -> Self:
        """Make a token for a new flow."""
        flow_id, secret = new_id(), secrets.token_bytes(_SECRET_BYTES)
        text = base64.urlsafe_b64encode(flow_id.bytes + secret).decode()
        return cls(flow_id=flow_id, secret_hash=_hash(secret), text=text)


async def find(reader: Reader, token: str, purpose: Purpose) -> Flow | None:
    """Return the flow of a token, perhaps an ended one; None when there is none."""
    if len(token) != LENGTH or not token.isascii():
        return None
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
    except ValueError:
        return None
    flow = await codes.get(reader, UUID(bytes=raw[:_ID_BYTES]))
    if flow is None or flow.purpose is not purpose:
        return None
    return flow if hmac.compare_digest(_hash(raw[_ID_BYTES:]), flow.code_hmac or b"") else None


def _hash(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
