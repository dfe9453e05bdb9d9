"""Keys as a process reads them: its identity, the identities that it trusts, its secrets.

keys/trusted.json             {service: public key as PEM}; every process needs it
keys/<service>/identity.pem   the private key that proves which service calls (P-256)
keys/<service>/requests       the secret of page tokens and idempotency keys
keys/auth/...                 Auth's further secrets, and in tokens/ the keys that sign access
                              tokens with their state, tokens.json

A secret has one line or two, each 32 bytes in base64url: the first makes, both verify. A
process needs trusted.json and the folder of its own service, and reads nothing else.
`common.key_files` makes and changes all of them.
"""

from __future__ import annotations

import base64
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.common.files import FileProblem, Watched, damaged, read_file, read_json
from services.kernel.secret import Secret

SERVICES: Final = ("auth", "profile", "commerce", "gateway", "operator")
SECRETS: Final[Mapping[str, tuple[str, ...]]] = {
    "auth": ("requests", "refresh", "codes", "outbox", "totp", "webhooks", "pseudonyms"),
    "gateway": (),
    "operator": (),
}
"""The secrets of each service. Every other service has one for its requests alone."""
SECRET_BYTES: Final = 32
TRUSTED: Final = "trusted.json"
IDENTITY: Final = "identity.pem"
MISSING: Final = "run `lockstep keys init`, or set LOCKSTEP_KEYS"
ELSEWHERE: Final = (
    "copy the folder of this service from where it was made, or remove the service from "
    "trusted.json and run `lockstep keys init`, which makes a new key"
)
RESTORE: Final = "restore it, or remove it and run `lockstep keys init`, which makes a new one"

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey
KeysError = FileProblem

_SECRET_LINE = re.compile(rb"[A-Za-z0-9_-]{43}=?")


def secrets_of(service: str) -> tuple[str, ...]:
    """Return the names of a service's secrets."""
    return SECRETS.get(service, ("requests",))


@dataclass(frozen=True, slots=True, repr=False)
class KeyRing:
    """The keys of one service: they prove its identity and verify that of its callers.

    Attributes:
        trusted: The public key of each service, as `trusted.json` has it now.
        secrets: The service's secrets, by their names.
    """

    service: str
    private_key: PrivateKey
    trusted: Mapping[str, PublicKey]
    secrets: Mapping[str, Secret]

    @classmethod
    def load(cls, folder: Path, service: str) -> Self:
        """Read the keys of `service`.

        Raises:
            KeysError: A key is missing, damaged, or the same as another one.
        """
        trusted = TrustedKeys(folder)
        path = folder / service / IDENTITY
        private_key = read_private(path, remedy=ELSEWHERE if service in trusted else MISSING)
        if service not in trusted:
            raise KeysError(f"{folder / TRUSTED} does not name {service}: {MISSING}")
        if trusted[service] != private_key.public_key():
            raise KeysError(
                f"{path} is not the key of {service} in {folder / TRUSTED}: restore the one or "
                f"the other, or run `lockstep keys init` to trust this key from now on"
            )
        watched = {name: _watched_secret(folder / service / name) for name in secrets_of(service)}
        refuse_alike({folder / service / name: each.value for name, each in watched.items()})
        return cls(
            service=service,
            private_key=private_key,
            trusted=trusted,
            secrets={name: Secret(_keys_of(each)) for name, each in watched.items()},
        )


class TrustedKeys(Mapping[str, PublicKey]):
    """The public key of each service; a change of the file counts at once.

    Args:
        folder: The folder of all keys.

    Raises:
        KeysError: The file cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / TRUSTED
        self._watched: Final = Watched(path, lambda: read_trusted(path))

    def __getitem__(self, service: str) -> PublicKey:
        return self._watched.value[service]

    def __iter__(self) -> Iterator[str]:
        return iter(self._watched.value)

    def __len__(self) -> int:
        return len(self._watched.value)


@dataclass(frozen=True, slots=True)
class TokenKey:
    """The state of a key that signs access tokens. Times are seconds since the epoch."""

    kid: str
    active: bool
    create_time: float
    verify_until: float | None

    def verifies(self, now: float) -> bool:
        """Return whether the key's tokens are still valid."""
        return self.verify_until is None or now < self.verify_until


class SigningKeys:
    """The keys that sign and verify access tokens; a rotation takes effect without a restart.

    Args:
        folder: The folder of all keys.

    Raises:
        KeysError: A key is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        tokens = folder / "auth" / "tokens"
        self._watched: Final = Watched(tokens / "tokens.json", lambda: _read_signing(tokens))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the token keys.

        Raises:
            KeysError: A key is missing or damaged.
        """
        return cls(folder)

    @property
    def signing(self) -> tuple[str, PrivateKey]:
        """The id and the key that sign new tokens."""
        known, keys = self._watched.value
        kid = next(key.kid for key in known if key.active)
        return kid, keys[kid]

    @property
    def verifying(self) -> dict[str, PublicKey]:
        """The public keys of the tokens that are still valid, by their ids."""
        known, keys = self._watched.value
        now = time.time()
        return {
            key.kid: keys[key.kid].public_key()
            for key in known
            if key.verifies(now) and key.kid in keys
        }


def read_private(path: Path, *, remedy: str = MISSING) -> PrivateKey:
    """Read a private key.

    Raises:
        KeysError: It is missing or damaged.
    """
    content = read_file(path, remedy=remedy)
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, PrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise damaged(path, "a private key on the curve P-256 as PEM", remedy=remedy)
    return key


def read_trusted_texts(path: Path) -> dict[str, str]:
    """Read the public keys as they are written.

    Raises:
        KeysError: The file is missing or damaged.
    """
    texts = read_json(path, remedy=MISSING)
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise damaged(path, "a JSON object of public keys by service", remedy=RESTORE)
    return texts


def read_trusted(path: Path) -> dict[str, PublicKey]:
    """Read the public key of each service.

    Raises:
        KeysError: The file is missing or damaged, or two services have the same key.
    """
    keys = {name: _public(path, name, text) for name, text in read_trusted_texts(path).items()}
    points = Counter(key.public_numbers() for key in keys.values())
    alike = [name for name, key in keys.items() if points[key.public_numbers()] > 1]
    if alike:
        raise KeysError(
            f"{path} has the same key for {' and '.join(alike)}: each needs its own; restore their "
            f"{IDENTITY}"
        )
    return keys


def read_secret(path: Path) -> tuple[bytes, ...]:
    """Read a secret: its keys, the newest first.

    Raises:
        KeysError: It is missing or damaged.
    """
    lines = read_file(path, remedy=MISSING if not path.exists() else RESTORE).splitlines()
    if len(lines) not in {1, 2} or not all(map(_SECRET_LINE.fullmatch, lines)):
        wanted = f"one line or two, each {SECRET_BYTES} bytes in base64url (43 characters)"
        raise damaged(path, wanted, remedy=RESTORE)
    return tuple(base64.urlsafe_b64decode(line[:43] + b"=") for line in lines)


def refuse_alike(secrets: Mapping[Path, tuple[bytes, ...]]) -> None:
    """Refuse secrets of which one makes what another one makes or verifies.

    Only old keys may be alike: before there was a secret a purpose, all had the same.

    Raises:
        KeysError: Two are alike.
    """
    lines = Counter(key for keys in secrets.values() for key in keys)
    alike = [str(path) for path, keys in secrets.items() if lines[keys[0]] > 1]
    makers = Counter(keys[0] for keys in secrets.values())
    alike += [str(path) for path, keys in secrets.items() if any(makers[key] for key in keys[1:])]
    if alike:
        names = " and ".join(dict.fromkeys(alike))
        raise KeysError(f"{names} must not hold the same key: {RESTORE}")


def read_tokens(folder: Path) -> list[TokenKey]:
    """Read the state of the token keys, newest first.

    Raises:
        KeysError: It is missing or damaged, or not exactly one key signs.
    """
    path = folder / "tokens.json"
    entries = read_json(path, remedy=MISSING)
    try:
        keys = [_token_key(entry) for entry in entries]
    except (TypeError, KeyError, ValueError):
        keys = []
    if sum(key.active for key in keys) != 1:
        raise damaged(path, "the token keys, of which one signs", remedy=RESTORE)
    return keys


def _read_signing(folder: Path) -> tuple[list[TokenKey], dict[str, PrivateKey]]:
    known = read_tokens(folder)
    return known, dict(_token_private_keys(folder, known))


def _token_private_keys(
    folder: Path, known: Iterable[TokenKey]
) -> Iterator[tuple[str, PrivateKey]]:
    for key in known:
        path = folder / f"{key.kid}.pem"
        if key.active or path.exists():  # another key may have been retired since
            yield key.kid, read_private(path, remedy=RESTORE)


def _token_key(entry: Any) -> TokenKey:
    until = entry["verify_until"]
    if not re.fullmatch(r"[0-9a-f]{16}", entry["kid"]) or not isinstance(entry["active"], bool):
        raise ValueError
    return TokenKey(
        kid=entry["kid"],
        active=entry["active"],
        create_time=float(entry["create_time"]),
        verify_until=None if until is None else float(until),
    )


def _public(path: Path, name: str, text: str) -> PublicKey:
    try:
        key = serialization.load_pem_public_key(text.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, PublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise damaged(path, f"a public key of {name} on the curve P-256 as PEM", remedy=RESTORE)
    return key


def _watched_secret(path: Path) -> Watched[tuple[bytes, ...]]:
    return Watched(path, lambda: read_secret(path))


def _keys_of(watched: Watched[tuple[bytes, ...]]) -> Callable[[], tuple[bytes, ...]]:
    return lambda: watched.value
