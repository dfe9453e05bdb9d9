"""The second factor: codes of an app (TOTP, RFC 6238), and recovery codes for a lost one."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import pyotp
import structlog
from cryptography.fernet import InvalidToken, MultiFernet
from pyotp.exceptions import OTPVerificationError

from services.auth.domain.codes import is_code
from services.auth.domain.seals import seal_of
from services.auth.store import second_factors, sessions
from services.auth.store.second_factors import TotpRow
from services.kernel.db.database import Transaction
from services.kernel.secret import Secret

STEPS_AROUND: Final = 1  # for clocks that differ, and people who type slowly
RECOVERY_CODES: Final = 10
RECOVERY_BYTES: Final = 15  # 24 characters of base32
RECOVERY_LENGTH: Final = 24

log = structlog.get_logger("lockstep.totp")

_BETWEEN = re.compile(r"[\s-]+")


@dataclass(frozen=True, slots=True, repr=False)
class Factor:
    """A second factor as a caller submits it: one of the two.

    Attributes:
        code: A code of the app.
        recovery_code: A recovery code.
    """

    code: str
    recovery_code: str


@dataclass(frozen=True, slots=True, repr=False)
class Enrolment:
    """A new seed, for the owner's app.

    Attributes:
        secret: In base32.
        uri: The same as an otpauth:// URI.
    """

    secret: str
    uri: str


@dataclass(frozen=True, slots=True)
class SecondFactors:
    """Makes seeds, and verifies codes.

    Each code counts once (RFC 6238, 5.2): its step is kept and must grow. Callers hold the
    user's row, so that of two requests with one code one comes first.

    Attributes:
        product: The name of the product, under which an app shows its codes.
    """

    secret: Secret
    product: str = "Lockstep"
    clock: Callable[[], float] = time.time

    async def begin(self, tx: Transaction, user_id: UUID, email: str) -> Enrolment:
        """Make a seed, which replaces one that was never confirmed."""
        seed = pyotp.random_base32()
        sealed = self._seal().encrypt(seed.encode())
        await second_factors.put_unconfirmed(tx, user_id, sealed)
        # The first colon of the label ends the issuer, so that its name can have none.
        issuer = self.product.replace(":", " ")
        uri = pyotp.TOTP(seed).provisioning_uri(name=email, issuer_name=issuer)
        return Enrolment(seed, uri)

    async def confirm(self, tx: Transaction, user_id: UUID, row: TotpRow, code: str) -> list[str]:
        """Confirm a seed with a first code; return the recovery codes, or none when it is wrong."""
        step = self._step(user_id, row, code)
        if step is None:
            return []
        codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
        await second_factors.confirm(tx, user_id, step=step)
        for each in codes:
            await second_factors.add_recovery_code(tx, user_id, _hash(each))
        return codes

    async def take(self, tx: Transaction, user_id: UUID, factor: Factor) -> bool:
        """Use a code up; False when it is wrong, or was used before."""
        if factor.recovery_code:
            code_hash = _hash(_bare(factor.recovery_code))
            return await second_factors.take_recovery_code(tx, user_id, code_hash)
        row = await second_factors.get(tx, user_id)
        if row is None or not row.is_confirmed:
            return False
        step = self._step(user_id, row, factor.code)
        if step is None or step <= row.last_step:
            return False
        await second_factors.advance(tx, user_id, step=step, sealed=self._sealed_anew(row))
        return True

    async def remove(self, tx: Transaction, user_id: UUID) -> bool:
        """Remove the second factor of a user, and its word in sessions; False without one."""
        await sessions.forget_second_factor(tx, user_id)
        return await second_factors.remove(tx, user_id)

    def _step(self, user_id: UUID, row: TotpRow, code: str) -> int | None:
        """Return the step of a right code; None when it is wrong, or the seed cannot be read."""
        try:
            totp = pyotp.TOTP(self._seal().decrypt(row.sealed).decode())
            return totp.verify_and_get_timecode(
                _BETWEEN.sub("", code), for_time=self.clock(), valid_window=STEPS_AROUND
            )
        except OTPVerificationError:
            return None
        except (InvalidToken, ValueError):  # ValueError: no base32 in it
            log.error(  # noqa: TRY400 - a traceback might quote the seed
                "the seed of a second factor cannot be read", user=str(user_id)
            )
            return None

    def _sealed_anew(self, row: TotpRow) -> bytes:
        """Return the seed sealed with the newest key: the old one may be dropped some day."""
        return self._seal().rotate(row.sealed)

    def _seal(self) -> MultiFernet:
        return seal_of(self.secret, "totp")


def is_totp_code(text: str) -> bool:
    """Return whether a text has the form of an app's code: a slip costs no try."""
    return is_code(text)


def is_recovery_code(text: str) -> bool:
    """Return whether a text has the form of a recovery code."""
    return re.fullmatch(f"[A-Z2-7]{{{RECOVERY_LENGTH}}}", _bare(text)) is not None


def _recovery_code() -> str:
    return base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode()


def _bare(text: str) -> str:
    return _BETWEEN.sub("", text).upper()


def _hash(code: str) -> bytes:
    """Return the hash that is stored: 120 random bits need no slow one."""
    return hashlib.sha256(code.encode()).digest()
