"""Challenges: what a right password opens where a second factor is missing yet.

A challenge is a flow. Its token names the flow and holds random bytes, of which the row has
the hash. It ends as flows do: by time, by tries, and with the credentials or the session.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from services.auth.domain import flow_tokens
from services.auth.domain.flow_tokens import FlowToken
from services.auth.model import Purpose
from services.auth.store import codes
from services.auth.store.codes import Flow, FlowOwner
from services.auth.store.credentials import Credentials
from services.auth.store.sessions import SessionClient
from services.kernel.db.database import Reader, Transaction

LIFE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, repr=False)
class Challenge:
    """The right password was given, and the second factor is missing."""

    token: str
    user_id: UUID
    email_display: str


async def issue(
    tx: Transaction, user: Credentials, client: SessionClient, *, replaces: UUID | None = None
) -> Challenge:
    """Open a challenge.

    Args:
        tx: The transaction, which must have locked the user.
        user: The user.
        client: The client of the session to come.
        replaces: The session that the new one replaces, and that the challenge ends with.
    """
    token = FlowToken.new()
    await codes.insert_flow(
        tx,
        flow_id=token.flow_id,
        purpose=Purpose.MFA,
        email=user.email,
        owner=FlowOwner(user.user_id, user.credential_version, session_id=replaces),
        place_hmac=None,
        code_hmac=token.secret_hash,
        payload={"client_name": client.name},
        life=LIFE,
    )
    return Challenge(token=token.text, user_id=user.user_id, email_display=user.email_display)


async def find(reader: Reader, token: str) -> Flow | None:
    """Return the flow of a token, perhaps an ended one; None when there is none."""
    return await flow_tokens.find(reader, token, Purpose.MFA)


def client_name(flow: Flow) -> str | None:
    """Return the name of the client that a flow was opened for."""
    name = flow.payload.get("client_name") if isinstance(flow.payload, dict) else None
    return name if isinstance(name, str) else None
