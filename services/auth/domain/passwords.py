"""Passwords: the rules for new ones, and hashing that holds up no other request."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import TypeVar

import bcrypt
import structlog
from opentelemetry.metrics import Meter, Observation

from services.auth.domain.password_words import is_common, without_words
from services.auth.model import CanonicalEmail
from services.auth.settings import COST_MAX
from services.kernel.errors import TooManyRequests
from services.kernel.telemetry.metrics import NO_METER, create_counter
from services.kernel.validation import SHRINKAGE_MAX

T = TypeVar("T")

log = structlog.get_logger("lockstep.passwords")

BYTES_MAX = 72  # bcrypt cuts off or refuses more
LENGTH_MIN = 8
WAITING_PER_THREAD = 16  # more would miss their deadlines

# Hashes of other systems. The last characters of salt and checksum have unused bits, which
# must be zero: bcrypt refuses or never matches another one.
_HASH = re.compile(
    r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]"
)
_COST_MIN = 4  # bcrypt knows no lower one

_RULES = (
    (re.compile(r"[a-z]"), "must have a lower-case letter"),
    (re.compile(r"[A-Z]"), "must have an upper-case letter"),
    (re.compile(r"[0-9]"), "must have a digit"),
    (re.compile(r"[^A-Za-z0-9]"), "must have a character that is neither letter nor digit"),
)


def faults(
    password: str, *, email: CanonicalEmail | None, names: Iterable[str | None] = ()
) -> list[str]:
    """Describe every fault of a new password.

    Args:
        password: The password.
        email: The owner's e-mail, which the password must not be; None when it is not known.
        names: The owner's names, and that of the owner's company.
    """
    password = in_nfc(password)
    found = [text for pattern, text in _RULES if not pattern.search(password)]
    if len(password) < LENGTH_MIN:
        found.append(f"must have {LENGTH_MIN} characters at least")
    if "\0" in password:
        found.append("must not contain NUL")
    if len(password.encode(errors="surrogatepass")) > BYTES_MAX:
        found.append(f"must have {BYTES_MAX} bytes at most in UTF-8")
    else:
        found += _too_easy(password, email, names)
    if email and password.lower() == email:
        found.append("must not be the e-mail address")
    return found


def _too_easy(
    password: str, email: CanonicalEmail | None, names: Iterable[str | None]
) -> list[str]:
    if is_common(password):
        return ["is one of the most common passwords; choose another"]
    left = without_words(password, email=email, names=names)
    if left < len(password) and left < LENGTH_MIN:
        return [f"must have {LENGTH_MIN} characters beside words such as your name or company"]
    return []


def is_hash(text: str) -> bool:
    """Say whether a text is a bcrypt hash that `Hasher.verify` can use."""
    found = _HASH.fullmatch(text)
    return found is not None and _COST_MIN <= int(found["cost"]) <= COST_MAX


class PasswordMatch(Enum):
    """The result of a comparison; it is true if the password is right.

    IN_OLD_FORM is right, too: the hash is of the form that was typed, from before NFC.
    """

    WRONG = False
    RIGHT = True
    IN_OLD_FORM = "old form"

    def __bool__(self) -> bool:
        """Say whether the password is right."""
        return self is not PasswordMatch.WRONG


def in_nfc(password: str) -> str:
    """Return the form of a password that is checked and hashed (RFC 8265, 4.2).

    Keyboards differ in how they type one character. A text that is too long in any form
    stays as it is, because the work grows with the square of some texts.
    """
    if len(password) > BYTES_MAX * SHRINKAGE_MAX:
        return password
    return unicodedata.normalize("NFC", password)


def are_same(one: str, other: str) -> bool:
    """Say whether two passwords count as the same one."""
    return in_nfc(one) == in_nfc(other)


class Hasher:
    """Hashes passwords with bcrypt in threads, which works because bcrypt releases the GIL.

    Both the threads and the waiting passwords are limited.

    Args:
        cost: The binary logarithm of the rounds.
        threads: The number of threads; that of the cores by default.
    """

    def __init__(self, cost: int, *, threads: int | None = None) -> None:
        self.cost = cost
        self._threads = threads or os.cpu_count() or 1
        self._waiting = 0
        self.measure(NO_METER)
        self._pool = ThreadPoolExecutor(
            self._threads, thread_name_prefix="bcrypt", initializer=_be_nice
        )
        # For logins without an account: their comparison must take the same work.
        self._nobody = _hash_of_nobody(cost)

    def measure(self, meter: Meter) -> None:
        """Create the metrics of the waiting passwords."""
        meter.create_observable_up_down_counter(
            "lockstep.hash.queue",
            callbacks=[lambda _: [Observation(self._waiting)]],
            unit="{password}",
            description="Passwords that are hashed or wait for it",
        )
        self._refused = create_counter(
            meter,
            "lockstep.hash.refused",
            unit="{password}",
            description="Passwords that were refused, because too many were waiting",
        )

    async def adopt_cost(self, cost: int) -> None:
        """Give the comparisons without an account the work of a hash of this cost.

        Raises:
            TooManyRequests: Too many passwords are waiting.
        """
        if cost != _cost_of(self._nobody):
            self._nobody = await self._run(lambda: _hash_of_nobody(cost))

    async def hash(self, password: str) -> str:
        """Hash a password that has no faults.

        Raises:
            TooManyRequests: Too many passwords are waiting.
        """
        raw = in_nfc(password).encode()
        return await self._run(lambda: bcrypt.hashpw(raw, bcrypt.gensalt(self.cost)).decode())

    async def verify(self, password: str, hashed: str | None) -> PasswordMatch:
        """Compare a password with a hash, in NFC and then as it was typed, if that differs.

        Without a hash the answer is WRONG, after the same time. A password that is too
        long or has a NUL is wrong, and takes the same time, too. So does any password if
        the hash is malformed.

        Raises:
            TooManyRequests: Too many passwords are waiting.
        """
        normal = in_nfc(password)
        if await self._is_right(normal, hashed):
            return PasswordMatch.RIGHT
        if normal != password and await self._is_right(password, hashed):
            return PasswordMatch.IN_OLD_FORM
        return PasswordMatch.WRONG

    async def _is_right(self, password: str, hashed: str | None) -> bool:
        raw = password.encode(errors="surrogatepass")
        possible = hashed is not None and len(raw) <= BYTES_MAX and b"\0" not in raw
        candidate = raw if possible else b"wrong"
        against = ((hashed or "") if possible else self._nobody).encode()
        return await self._run(lambda: self._compare(candidate, against)) and possible

    def _compare(self, candidate: bytes, against: bytes) -> bool:
        try:
            return bcrypt.checkpw(candidate, against)
        except ValueError:
            log.error("a stored password hash is malformed")  # noqa: TRY400 - a traceback may quote it
            bcrypt.checkpw(candidate, self._nobody.encode())
            return False

    def is_outdated(self, hashed: str) -> bool:
        """Say whether a new hash would have another cost."""
        return not hashed.startswith(f"$2b${self.cost:02d}$")

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def ensure_room(self) -> None:
        """Refuse now, before any other work, if `hash` would refuse.

        Raises:
            TooManyRequests: Too many passwords are waiting.
        """
        if self._waiting >= self._threads * WAITING_PER_THREAD:
            self._refused.add(1)
            raise TooManyRequests(retry_after_seconds=2.0)

    async def _run(self, work: Callable[[], T]) -> T:
        self.ensure_room()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1


def _hash_of_nobody(cost: int) -> str:
    return bcrypt.hashpw(secrets.token_bytes(16), bcrypt.gensalt(cost)).decode()


def _cost_of(hashed: str) -> int:
    return int(hashed.split("$")[2])


def _be_nice() -> None:
    # Hashing yields to answering: on Linux each thread has a niceness of its own.
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, 5)
