"""API keys: how they are written, and what a service asks about them.

An API key is `lk_<id>_<secret>_<checksum>`. Its prefix lets scanners find keys that have
leaked. Its checksum tells a slip without a look into a database.
"""

from __future__ import annotations

import string
import zlib
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from services.kernel.rpc.call import Method

PREFIX: Final = "lk_"
SECRET_BYTES: Final = 32

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase  # base62
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_ID_LENGTH, _SECRET_LENGTH, _CHECKSUM_LENGTH = 22, 43, 6


@dataclass(frozen=True, slots=True, repr=False)
class PresentedKey:
    """The content of an API key."""

    id: UUID
    secret: bytes

    def written(self) -> str:
        """Return the API key."""
        body = f"{_base62(self.id.int, _ID_LENGTH)}_{_base62(_int(self.secret), _SECRET_LENGTH)}"
        return f"{PREFIX}{body}_{_checksum(body)}"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key that is good, and its owner.

    Attributes:
        user_id: The owner, as whom the key acts.
        role: The role that the owner has now.
        scopes: The full names of services and methods; it admits no others.
        lacks_mfa: Whether the owner needs a second factor to act as an administrator, and the
            session that made the key had none.
    """

    id: UUID
    user_id: UUID
    role: str
    scopes: frozenset[str]
    lacks_mfa: bool = False

    def admits(self, method: Method) -> bool:
        """Return whether the key's scopes name a method, or its service."""
        service, _, name = method.path.removeprefix("/").partition("/")
        return service in self.scopes or f"{service}.{name}" in self.scopes


class ApiKeyChecker(Protocol):
    """Looks API keys up."""

    async def check(self, key: str, *, fresh: bool, client_ip: str | None) -> ApiKey | None:
        """Return the key, or None when it is unknown, has ended, or its owner may not log in.

        Args:
            key: The API key, whose form is right.
            fresh: Whether a cached answer is too old.
            client_ip: The caller's, for the owner to see.

        Raises:
            Unavailable: The key cannot be looked up now.
        """


def is_api_key(token: str) -> bool:
    """Return whether a bearer token claims to be an API key."""
    return token.startswith(PREFIX)


def read_api_key(token: str) -> PresentedKey | None:
    """Return the content of an API key; None when it is incomplete or misspelled."""
    body, _, checksum = token.removeprefix(PREFIX).rpartition("_")
    key_id, _, secret = body.partition("_")
    if not is_api_key(token) or checksum != _checksum(body):
        return None
    number, secret_number = _number(key_id, _ID_LENGTH), _number(secret, _SECRET_LENGTH)
    try:
        return PresentedKey(UUID(int=number), secret_number.to_bytes(SECRET_BYTES))
    except (ValueError, OverflowError):
        return None


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _int(raw: bytes) -> int:
    return int.from_bytes(raw)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, value = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[value])
    return "".join(reversed(digits))


def _number(text: str, length: int) -> int:
    """Return a number of base62; -1 when the text is none of this length."""
    if len(text) != length or not all(digit in _VALUES for digit in text):
        return -1
    number = 0
    for digit in text:
        number = number * len(_DIGITS) + _VALUES[digit]
    return number
