"""Keys: each service's identity, the shared HMAC secret, and the keys that sign access tokens.

keys/auth.pem ...     the private key of each service (P-256), 0600
keys/trusted.json     {service: public key as PEM}
keys/secret           32 bytes for HMACs of codes, idempotency keys and page tokens
keys/tokens/          the private keys that sign access tokens, and their state, tokens.json
"""

import fcntl
import hashlib
import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

SERVICES: Final = ("auth", "profile", "commerce", "gateway", "operator")
SECRET_BYTES: Final = 32
TOKEN_OVERLAP_SECONDS: Final = 6 * 3600 + 600
"""A rotated key still verifies for a token's life, with a margin for clocks and caches."""

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey


class KeysError(Exception):
    """A key is missing or refused; the text is one line that names the remedy."""


@dataclass(frozen=True, slots=True, repr=False)
class KeyRing:
    """The keys of one service: they prove its identity and verify that of its callers."""

    service: str
    private_key: PrivateKey
    trusted: dict[str, PublicKey]
    secret: bytes

    @classmethod
    def load(cls, folder: Path, service: str) -> Self:
        """Read the keys of `service`.

        Raises:
            KeysError: A key is missing or cannot be read.
        """
        try:
            return cls(
                service=service,
                private_key=_read_private(folder / f"{service}.pem"),
                trusted=_read_trusted(folder),
                secret=(folder / "secret").read_bytes(),
            )
        except (OSError, ValueError, TypeError) as error:
            raise _unreadable(folder, error) from None


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
    """

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder / "tokens"
        self._stamp: tuple[int, int] | None = None
        self._keys: dict[str, PrivateKey] = {}
        self._known: list[TokenKey] = []
        self._refresh()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the token keys.

        Raises:
            KeysError: A key is missing or cannot be read.
        """
        return cls(folder)

    @property
    def signing(self) -> tuple[str, PrivateKey]:
        """The id and the key that sign new tokens."""
        self._refresh()
        kid = next(key.kid for key in self._known if key.active)
        return kid, self._keys[kid]

    @property
    def verifying(self) -> dict[str, PublicKey]:
        """The public keys of the tokens that are still valid, by their ids."""
        self._refresh()
        now = time.time()
        return {
            key.kid: self._keys[key.kid].public_key()
            for key in self._known
            if key.verifies(now) and key.kid in self._keys
        }

    def _refresh(self) -> None:
        state = self._folder / "tokens.json"
        try:
            found = state.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp != self._stamp:
                self._known = _read_tokens(self._folder)
                self._keys = dict(_token_private_keys(self._folder, self._known))
                self._stamp = stamp
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise _unreadable(self._folder, error) from None


def initialise(folder: Path, services: Sequence[str] = SERVICES) -> list[str]:
    """Make the missing keys and change no others; several processes may do so at once.

    Returns:
        The names of the services whose key was made. A service in trusted.json gets no new
        key, because its private key is on another machine.
    """
    with _locked(folder):
        trusted = _trusted_texts(folder)
        made = [name for name in services if _make_service_key(folder, name, trusted)]
        _write(folder / "trusted.json", json.dumps(trusted, indent=1).encode())
        if not (folder / "secret").exists():
            _write(folder / "secret", secrets.token_bytes(SECRET_BYTES))
        if not (folder / "tokens" / "tokens.json").exists():
            _add_token_key(folder / "tokens", [])
    return made


def list_token_keys(folder: Path) -> list[TokenKey]:
    """List the token keys, newest first.

    Raises:
        KeysError: There are none, or they cannot be read.
    """
    try:
        return _read_tokens(folder / "tokens")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _unreadable(folder / "tokens", error) from None


def rotate_token_key(folder: Path) -> str:
    """Make a new signing key and return its id; the old one verifies until its tokens expire."""
    with _locked(folder):
        now = time.time()
        known = [_retiring(key, now) for key in list_token_keys(folder) if key.verifies(now)]
        return _add_token_key(folder / "tokens", known)


def retire_token_key(folder: Path, kid: str) -> None:
    """Refuse the tokens of this key from now on.

    Raises:
        KeysError: The key is unknown, or signs the new tokens.
    """
    with _locked(folder):
        known = list_token_keys(folder)
        key = next((key for key in known if key.kid == kid), None)
        if key is None:
            raise KeysError(f"there is no token key {kid}: `lockstep keys list` shows them")
        if key.active:
            raise KeysError(f"{kid} signs the new tokens: run `lockstep keys rotate` first")
        _write_tokens(folder / "tokens", [other for other in known if other.kid != kid])


def _make_service_key(folder: Path, name: str, trusted: dict[str, str]) -> bool:
    path = folder / f"{name}.pem"
    made = not path.exists() and name not in trusted
    if made:
        _write(path, _private_text(ec.generate_private_key(ec.SECP256R1())))
    if path.exists():
        trusted[name] = _public_bytes(_read_private(path), serialization.Encoding.PEM).decode()
    return made


def _add_token_key(folder: Path, known: list[TokenKey]) -> str:
    private = ec.generate_private_key(ec.SECP256R1())
    digest = hashlib.sha256(_public_bytes(private, serialization.Encoding.DER)).digest()
    kid = digest.hex()[:16]
    folder.mkdir(mode=0o700, exist_ok=True)
    _write(folder / f"{kid}.pem", _private_text(private))
    _write_tokens(
        folder, [TokenKey(kid=kid, active=True, create_time=time.time(), verify_until=None), *known]
    )
    return kid


def _retiring(key: TokenKey, now: float) -> TokenKey:
    until = now + TOKEN_OVERLAP_SECONDS if key.verify_until is None else key.verify_until
    return replace(key, active=False, verify_until=until)


def _write_tokens(folder: Path, keys: list[TokenKey]) -> None:
    """Write the state, and then delete the keys that it no longer names."""
    state = [
        {
            "kid": key.kid,
            "active": key.active,
            "create_time": key.create_time,
            "verify_until": key.verify_until,
        }
        for key in keys
    ]
    _write(folder / "tokens.json", json.dumps(state, indent=1).encode())
    named = {f"{key.kid}.pem" for key in keys}
    for path in folder.glob("*.pem"):
        if path.name not in named:
            path.unlink()


def _read_tokens(folder: Path) -> list[TokenKey]:
    entries = json.loads((folder / "tokens.json").read_text())
    return [
        TokenKey(entry["kid"], entry["active"], entry["create_time"], entry["verify_until"])
        for entry in entries
    ]


def _token_private_keys(folder: Path, known: list[TokenKey]) -> Iterator[tuple[str, PrivateKey]]:
    for key in known:
        try:
            yield key.kid, _read_private(folder / f"{key.kid}.pem")
        except FileNotFoundError:
            if key.active:
                raise  # another key may have been retired since the state was read


def _trusted_texts(folder: Path) -> dict[str, str]:
    path = folder / "trusted.json"
    if not path.exists():
        return {}
    texts: dict[str, str] = json.loads(path.read_text())
    return texts


def _read_trusted(folder: Path) -> dict[str, PublicKey]:
    texts: dict[str, str] = json.loads((folder / "trusted.json").read_text())
    return {name: _elliptic_public(text) for name, text in texts.items()}


def _elliptic_public(pem: str) -> PublicKey:
    key = serialization.load_pem_public_key(pem.encode())
    if not isinstance(key, PublicKey):
        raise TypeError("not an elliptic-curve key")
    return key


def _read_private(path: Path) -> PrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, PrivateKey):
        raise TypeError(f"{path.name} is not an elliptic-curve key")
    return key


def _private_text(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _public_bytes(key: PrivateKey, encoding: serialization.Encoding) -> bytes:
    return key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def _unreadable(folder: Path, error: Exception) -> KeysError:
    if isinstance(error, FileNotFoundError):
        missing = error.filename or folder
        return KeysError(f"{missing} is missing: run `lockstep keys init`, or set LOCKSTEP_KEYS")
    reason = error.strerror if isinstance(error, OSError) else "a file holds no valid key"
    return KeysError(f"the keys in {folder} cannot be read: {reason}")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from changing the keys at the same time."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, content: bytes) -> None:
    """Write a file durably and atomically, readable by its owner alone."""
    descriptor, partial = tempfile.mkstemp(prefix=".", dir=path.parent)  # 0600
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(partial).replace(path)
