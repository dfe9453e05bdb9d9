"""Secrets: keys of HMACs that can be replaced while what they made is still in use."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """The key of HMACs, and the one before it. The newest makes, all of them verify.

    Attributes:
        all_keys: Returns the keys, the newest first. It is asked each time, because a key may be
            replaced while the process runs.
    """

    all_keys: Callable[[], Sequence[bytes]]

    @classmethod
    def of(cls, *keys: bytes) -> Self:
        """Return a secret whose keys stay as they are, the newest first."""
        return cls(lambda: keys)

    def digest(self, message: bytes) -> bytes:
        """Return the HMAC of a message by the newest key."""
        return hmac.digest(self.all_keys()[0], message, hashlib.sha256)

    def digests(self, message: bytes) -> tuple[bytes, ...]:
        """Return the HMAC of a message by each key, the newest first."""
        return tuple(hmac.digest(key, message, hashlib.sha256) for key in self.all_keys())

    def lasting_digest(self, message: bytes) -> bytes:
        """Return the HMAC that stays the same until the oldest key is dropped.

        Rows that are only counted under it are then found before and after a rotation, by
        processes that know the new key already and by those that do not.
        """
        return self.digests(message)[-1]

    def verifies(self, message: bytes, given: bytes, *, length: int = 32) -> bool:
        """Return whether an HMAC, or its first bytes, was made of a message by one of the keys."""
        return any(hmac.compare_digest(each[:length], given) for each in self.digests(message))
