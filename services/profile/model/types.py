"""The objects that stand for rows of Profile."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Brand:
    """A company or brand, as everybody may see it."""

    id: UUID
    name: str
    description: str | None = None
    website_url: str | None = None
    logo_url: str | None = None
    brand_type: str | None = None
    company_size: str | None = None
    user_role: str | None = None


@dataclass(frozen=True, slots=True)
class OwnedBrand(Brand):
    """A brand with the user whose profile shows it."""

    owner_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class ProfileColumns:
    """A person, as the table of profiles has it."""

    id: UUID
    user_id: UUID
    first_name: str | None
    last_name: str | None
    display_name: str | None
    phone_number: str | None
    address: str | None
    bio: str | None
    avatar_url: str | None
    course: str | None
    status: str
    revision: int
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class Profile(ProfileColumns):
    """A person, with the brand that the person works for."""

    brand: Brand | None = None

    @property
    def etag(self) -> str:
        """Return a text that changes whenever the profile does."""
        return f"{self.revision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProfile:
    """The person of a registration."""

    user_id: UUID
    status: str
    first_name: str | None = None
    last_name: str | None = None
    phone_number: str | None = None
    address: str | None = None
    course: str | None = None
    brand: NewBrand | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBrand:
    """The brand of a registration."""

    name: str
    company_size: str | None = None
    user_role: str | None = None


def display_name(first: str | None, last: str | None) -> str | None:
    """Return "first last", or None when neither is known."""
    return " ".join(name for name in (first, last) if name) or None


class TransferKind(StrEnum):
    """The purpose of a transfer."""

    TOP_UP = "top_up"
    DEBIT = "debit"
    REFUND = "refund"
    VOID = "void"
    FORFEIT = "forfeit"
    SALE = "sale"
    RELEASE = "release"
    SALE_REFUND = "sale_refund"
    REVERSAL = "reversal"


class TransferState(StrEnum):
    """The outcome of a transfer."""

    POSTED = "posted"
    REFUSED = "refused"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class Wallet:
    """A wallet that has a user; amounts are in minor units.

    Attributes:
        pending: The shares of sales that are not shipped yet.
    """

    id: UUID
    user_id: UUID
    balance: int
    update_time: datetime
    pending: int


@dataclass(frozen=True, slots=True)
class Share:
    """What a seller gets of a debit.

    Attributes:
        seller_id: None once the seller was forgotten.
        amount: Minor units, above zero.
    """

    seller_id: UUID | None
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTransfer:
    """A transfer that a caller wants.

    Attributes:
        id: The caller's choice; it stands for this content for ever.
        kind: The purpose.
        amount: Minor units, above zero.
        user_id: The owner of the wallet; None for a refund, whose debit has the wallet.
        reference: The caller's name for the purchase, such as an order.
        original_id: The debit that a refund belongs to, or the top-up of a reversal.
        shares: The shares of sellers in a debit, or those that a refund takes back.
        is_released: Whether the sellers could spend those shares before.
        actor: Who asks for it: `user:` or `service:`, and an id or a name.
    """

    id: UUID
    kind: TransferKind
    amount: int
    user_id: UUID | None = None
    reference: str = ""
    original_id: UUID | None = None
    shares: tuple[Share, ...] = ()
    is_released: bool = False
    actor: str = ""

    @property
    def fingerprint(self) -> str:
        """Return a digest of the content, for comparisons after the wallet has lost its user."""
        content: tuple[object, ...] = (
            self.kind,
            self.amount,
            self.user_id,
            self.reference,
            self.original_id,
        )
        if self.shares:
            # A repeat no longer names a seller who was forgotten meanwhile.
            content += (sum(each.amount for each in self.shares), self.is_released)
        return hashlib.sha256("\0".join(map(str, content)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer as it is in the ledger.

    Attributes:
        id: The caller's choice.
        user_id: The owner of the wallet; None without a wallet, or when it is closed.
        wallet_id: The wallet; None for a tombstone, or a refusal without a wallet.
        kind: The purpose.
        amount: Minor units; 0 for a tombstone.
        state: The outcome; a tombstone is VOIDED.
        reference: The caller's name for the purchase, such as an order.
        refusal_reason: The reason of a refusal.
        fingerprint: The digest of the content that the id stands for; empty for a tombstone.
        create_time: The time of insertion.
        original_id: The debit that it gives back, or the top-up that it takes back.
        is_undone: Whether a void has given it back.
        actor: Who asked for it; empty for transfers of 0.1.
        balance_after: What the wallet held after it; None where no money moved.
    """

    id: UUID
    user_id: UUID | None
    wallet_id: UUID | None
    kind: TransferKind
    amount: int
    state: TransferState
    reference: str
    refusal_reason: str | None
    fingerprint: str
    create_time: datetime
    # Replies of 0.1 are stored without these.
    original_id: UUID | None = None
    is_undone: bool = False
    actor: str = ""
    balance_after: int | None = None
