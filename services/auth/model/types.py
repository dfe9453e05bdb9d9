"""Users, their e-mails, and the purposes of flows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType
from uuid import UUID


class Status(StrEnum):
    """The status of a user. PENDING users cannot log in, and no call shows them."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"
    DELETING = "DELETING"


class Purpose(StrEnum):
    """The purpose of a flow: for another purpose its code is wrong."""

    SIGNUP = "signup"
    VERIFICATION = "verification"
    RESET = "reset"
    EMAIL_CHANGE = "email_change"
    MFA = "mfa"
    INVITATION = "invitation"


# Lower case, the domain in ASCII (IDNA): the form that is compared, one for each mailbox.
# Only `domain.emails` and the rows of statements make one.
CanonicalEmail = NewType("CanonicalEmail", str)


@dataclass(frozen=True, slots=True)
class Email:
    """An e-mail address.

    Attributes:
        typed: As it was given, trimmed; for display.
    """

    typed: str
    canonical: CanonicalEmail

    @property
    def mailbox(self) -> str:
        """The address that mail is sent to."""
        return mailbox(self.typed, self.canonical)


def mailbox(typed: str, canonical: CanonicalEmail) -> str:
    """Return the typed local part at the canonical domain.

    The case of the local part may matter to its server (RFC 5321, 2.4).
    """
    return typed.rpartition("@")[0] + "@" + canonical.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Recipient:
    """The reader of a mail.

    Attributes:
        mailbox: The address that mail is sent to.
        language: The language that the reader wants, perhaps one that no mail is written in.
    """

    mailbox: str
    language: str | None


@dataclass(frozen=True, slots=True)
class User:
    """A user as other people may see them.

    Attributes:
        email_display: As it was typed.
        full_name: Empty when no name was given.
    """

    id: UUID
    email_display: str
    full_name: str
    role: str
    status: Status
    email_verified: bool
    has_second_factor: bool
    create_time: datetime
