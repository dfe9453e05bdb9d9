"""Passwords: what a good one is, and hashing them without holding anybody up."""

from __future__ import annotations

import asyncio
import functools
import importlib.resources
import os
import re
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt

from services.auth.model import CanonicalEmail
from services.kernel.errors import TooManyRequests

T = TypeVar("T")

BYTES_MAX = 72  # what bcrypt takes in; more would be cut off or refused
LENGTH_MIN = 8
WAITING_PER_THREAD = 16  # more would wait beyond their deadline

_RULES = (
    (re.compile(r"[a-z]"), "must have a lower-case letter"),
    (re.compile(r"[A-Z]"), "must have an upper-case letter"),
    (re.compile(r"[0-9]"), "must have a digit"),
    (re.compile(r"[^A-Za-z0-9]"), "must have a character that is neither letter nor digit"),
)


@functools.cache
def common_passwords() -> frozenset[str]:
    """Return those of the lists of leaked passwords that satisfy the rules, in lower case
    (OWASP ASVS 5, 6.2.4).
    """
    text = importlib.resources.files(__package__).joinpath("common_passwords.txt").read_text()
    return frozenset(text.split())


def faults(password: str, *, email: CanonicalEmail | None) -> list[str]:
    """Say everything that is wrong with a new password.

    Args:
        password: The password.
        email: Its owner's e-mail, which it must not be.
    """
    found = [text for pattern, text in _RULES if not pattern.search(password)]
    if len(password) < LENGTH_MIN:
        found.append(f"must have {LENGTH_MIN} characters at least")
    if len(password.encode(errors="surrogatepass")) > BYTES_MAX:
        found.append(f"must have {BYTES_MAX} bytes at most in UTF-8")
    if "\0" in password:
        found.append("must not contain NUL")
    if password.lower() in common_passwords():
        found.append("is one of the most common passwords; choose another")
    if email and password.lower() == email:
        found.append("must not be the e-mail address")
    return found


class Hasher:
    """Hashes passwords with bcrypt, in threads (it releases the GIL), a bounded number
    at a time and a bounded number waiting.

    Args:
        cost: The binary logarithm of the rounds.
        threads: How many hash at a time; as many as there are cores by default.
    """

    def __init__(self, cost: int, *, threads: int | None = None) -> None:
        self.cost = cost
        self._threads = threads or os.cpu_count() or 1
        self._waiting = 0
        self._pool = ThreadPoolExecutor(
            self._threads, thread_name_prefix="bcrypt", initializer=_be_nice
        )
        # Somebody to compare with when there is no such account: equal work.
        self._nobody = bcrypt.hashpw(secrets.token_bytes(16), bcrypt.gensalt(cost)).decode()

    async def hash(self, password: str) -> str:
        """Hash a password that has no faults.

        Raises:
            TooManyRequests: Too many are waiting.
        """
        raw = password.encode()
        return await self._run(lambda: bcrypt.hashpw(raw, bcrypt.gensalt(self.cost)).decode())

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Compare a password with a hash; without a hash, as slowly, in vain.

        A password that is too long or has a NUL is a wrong one, and takes as long.

        Raises:
            TooManyRequests: Too many are waiting.
        """
        raw = password.encode(errors="surrogatepass")
        possible = hashed is not None and len(raw) <= BYTES_MAX and b"\0" not in raw
        candidate = raw if possible else b"wrong"
        against = (hashed if possible and hashed else self._nobody).encode()
        return await self._run(lambda: bcrypt.checkpw(candidate, against)) and possible

    def is_outdated(self, hashed: str) -> bool:
        """Say whether a hash has another cost than new ones get."""
        return not hashed.startswith(f"$2b${self.cost:02d}$")

    def close(self) -> None:
        """Give the threads back."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def ensure_room(self) -> None:
        """Refuse before any other work what would be refused at hashing.

        Raises:
            TooManyRequests: Too many are waiting.
        """
        if self._waiting >= self._threads * WAITING_PER_THREAD:
            raise TooManyRequests(retry_after_seconds=2.0)

    async def _run(self, work: Callable[[], T]) -> T:
        self.ensure_room()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1


def _be_nice() -> None:
    # On Linux a thread has a niceness of its own: hashing yields to answering.
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, 5)
