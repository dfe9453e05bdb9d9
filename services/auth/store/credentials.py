"""The SQL of passwords."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import (
    Integer,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    table,
    tablesample,
    update,
)

from services.auth.model import (
    LOGIN_FAILURES,
    ROLES,
    USERS,
    CanonicalEmail,
    Recipient,
    Status,
    mailbox,
)
from services.auth.store.users import HAS_SECOND_FACTOR, ByEmail
from services.kernel.db.cleaner import old_rows
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, NoParameters, NoRow, Statement


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """The data that a login needs of a user.

    Attributes:
        email_display: As it was typed.
    """

    user_id: UUID
    email: CanonicalEmail
    email_display: str
    password_hash: str
    credential_version: int
    status: Status
    role: str
    is_verified: bool
    has_second_factor: bool
    language: str | None

    def are_those_of(self, earlier: Credentials) -> bool:
        """Whether nothing has ended the credentials that were read earlier.

        The hash is compared, too: an operator may have replaced it by hand.
        """
        return (
            self.credential_version == earlier.credential_version
            and self.password_hash == earlier.password_hash
        )

    @property
    def recipient(self) -> Recipient:
        """The reader of mail about the account."""
        return Recipient(mailbox(self.email_display, self.email), self.language)


@dataclass(frozen=True, slots=True)
class _NewLanguage:
    user_id: UUID
    language: str


@dataclass(frozen=True, slots=True)
class HashCost:
    """The cost of a bcrypt hash."""

    cost: int


@dataclass(frozen=True, slots=True, repr=False)
class _Replacement:
    user_id: UUID
    old_hash: str
    new_hash: str


# The form of a bcrypt hash: its variant, its cost, and salt and checksum in base64.
BCRYPT: Final = r"^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$"

_SELECT = (
    select(
        USERS.c.id.label("user_id"),
        USERS.c.email,
        USERS.c.email_as_typed.label("email_display"),
        USERS.c.password_hash,
        USERS.c.credential_version,
        USERS.c.status,
        ROLES.c.name.label("role"),
        USERS.c.email_verify_time.is_not(None).label("is_verified"),
        HAS_SECOND_FACTOR,
        USERS.c.language,
    )
    .select_from(USERS.join(ROLES))
    .where(USERS.c.status != "PENDING")
)
_BY_EMAIL = Statement(_SELECT.where(USERS.c.email == bindparam("email")), ByEmail, Credentials)
_BY_ID = Statement(_SELECT.where(USERS.c.id == bindparam("user_id")), ByUser, Credentials)
_HOLD = Statement(
    _SELECT.where(USERS.c.id == bindparam("user_id")).with_for_update(read=True, of=USERS),
    ByUser,
    Credentials,
)
_LOCK = Statement(
    _SELECT.where(USERS.c.id == bindparam("user_id")).with_for_update(of=USERS),
    ByUser,
    Credentials,
)
_SET_LANGUAGE = Statement(
    update(USERS).where(USERS.c.id == bindparam("user_id")).values(language=bindparam("language")),
    _NewLanguage,
    NoRow,
)
_RAISE_VERSION = Statement(
    update(USERS)
    .where(USERS.c.id == bindparam("user_id"))
    .values(credential_version=USERS.c.credential_version + 1),
    ByUser,
    NoRow,
)
_REPLACE = Statement(
    update(USERS)
    .where(
        USERS.c.id == bindparam("user_id"),
        USERS.c.password_hash == bindparam("old_hash"),
        USERS.c.status == "ACTIVE",
    )
    .values(password_hash=bindparam("new_hash"), update_time=func.saga_now()),
    _Replacement,
    NoRow,
)

# The pages of about a thousand users, by chance. A table that was never analysed is new, and
# the limit bounds the work all the same.
_SHARE = (
    select(literal_column("least(100, 100000 / greatest(reltuples, 1))"))
    .select_from(table("pg_class"))
    .where(literal_column("oid = 'users'::regclass"))
    .scalar_subquery()
)
_SAMPLED = tablesample(USERS, func.system(_SHARE))
_HASHES = select(_SAMPLED.c.password_hash).limit(literal_column("10000")).subquery()
_USUAL_COST = Statement(
    select(
        cast(
            func.substr(_HASHES.c.password_hash, literal_column("5"), literal_column("2")), Integer
        ).label("cost")
    )
    .where(_HASHES.c.password_hash.regexp_match(literal_column(f"'{BCRYPT}'")))
    .group_by(literal_column("1"))
    .order_by(func.count().desc(), literal_column("1 DESC"))
    .limit(literal_column("1")),
    NoParameters,
    HashCost,
)

OLD_FAILURES = old_rows("login failures", LOGIN_FAILURES, LOGIN_FAILURES.c.update_time, age="1 day")


async def by_email(reader: Reader, email: CanonicalEmail) -> Credentials | None:
    """Return the credentials of an e-mail, or None; PENDING users have none."""
    return await reader.first(_BY_EMAIL, ByEmail(email))


async def by_id(reader: Reader, user_id: UUID) -> Credentials | None:
    """Return the credentials of a user, or None; PENDING users have none."""
    return await reader.first(_BY_ID, ByUser(user_id))


async def by_name(reader: Reader, account: UUID | CanonicalEmail) -> Credentials | None:
    """Return the credentials of a user, named by the id or the e-mail, or None."""
    if isinstance(account, UUID):
        return await by_id(reader, account)
    return await by_email(reader, account)


async def hold(tx: Transaction, user_id: UUID) -> Credentials | None:
    """Lock a user against changes until the transaction ends; return the credentials, or None."""
    return await tx.first(_HOLD, ByUser(user_id))


async def lock(tx: Transaction, user_id: UUID) -> Credentials | None:
    """Lock a user until the transaction ends; return the credentials, or None."""
    return await tx.first(_LOCK, ByUser(user_id))


async def set_language(tx: Transaction, user_id: UUID, language: str) -> None:
    """Remember the language of a user's mails."""
    await tx.execute(_SET_LANGUAGE, _NewLanguage(user_id=user_id, language=language))


async def raise_version(tx: Transaction, user_id: UUID) -> None:
    """Begin the next version of a user's credentials; locks the user."""
    await tx.execute(_RAISE_VERSION, ByUser(user_id))


async def replace(tx: Transaction, user_id: UUID, *, old_hash: str, new_hash: str) -> bool:
    """Replace a password's hash; False when it has changed, or the user is not ACTIVE."""
    change = _Replacement(user_id=user_id, old_hash=old_hash, new_hash=new_hash)
    return await tx.execute(_REPLACE, change) == 1


async def usual_cost(reader: Reader) -> int | None:
    """Return the cost that most password hashes have, from a sample; None without users."""
    row = await reader.first(_USUAL_COST, NoParameters())
    return None if row is None else row.cost
