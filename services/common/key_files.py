"""Keys as the command makes and changes them. `common.keys` says which files there are."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.common.files import locked, make_folder, problem_of, read_file, write_file
from services.common.keys import (
    ELSEWHERE,
    IDENTITY,
    RESTORE,
    SECRET_BYTES,
    SERVICES,
    TRUSTED,
    KeysError,
    PrivateKey,
    PublicKey,
    SigningKeys,
    TokenKey,
    read_private,
    read_secret,
    read_tokens,
    read_trusted,
    read_trusted_texts,
    refuse_alike,
    secrets_of,
)

SERVICE_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,29}")
TOKEN_OVERLAP_SECONDS: Final = 6 * 3600 + 600
"""A rotated key still verifies for a token's life, with a margin for clocks and caches."""
# Before there was a secret a purpose, all services had one. What it made is still in use, but
# for refresh tokens: they get a seed, so that the secret alone makes none.
INHERITED: Final = frozenset({"requests", "codes", "outbox", "pseudonyms"})


def initialise(folder: Path, services: Sequence[str] = SERVICES) -> list[str]:
    """Make the missing keys and change no others; several processes may do so at once.

    The files of the layout before (`<service>.pem`, `secret`, `tokens/`) move to their place.

    Returns:
        The names of the services that got a key or a secret. A service in trusted.json gets no
        new key, because its private key is on another machine; nor does it get secrets then.

    Raises:
        KeysError: A file that is there cannot be used, or none can be made.
    """
    for name in services:
        if not SERVICE_NAME.fullmatch(name):
            raise KeysError(
                f"{name!r} cannot name a service: use up to 30 lower-case letters, digits and -, "
                "the first one a letter"
            )
    with locked(folder):
        inherited = _move_old_layout(folder)
        trusted = _trusted_texts(folder)
        known = [*services, *(name for name in trusted if name not in services)]
        for name in known:
            if (folder / name).exists() and not (folder / name).is_dir():
                raise KeysError(f"{folder / name} must be a folder: rename or remove the file")
        made = [name for name in services if _make_identity(folder, name, trusted)]
        here = [name for name in known if (folder / name / IDENTITY).exists()]
        _trust(folder, here, trusted)
        made += [name for name in here if _make_secrets(folder / name, name, inherited)]
        if "auth" in here:
            _make_token_key(folder)
        _check(folder, here)
        if inherited is not None:
            _remove(folder / "secret")
    return [name for name in known if name in made]


def view(folder: Path, service: str, *, at: Path) -> Path:
    """Make a folder that has the keys of one service alone, by links, and return it."""
    make_folder(at)
    for name in (TRUSTED, service):
        link, target = at / name, folder / name
        try:
            if not link.is_symlink() or link.readlink() != target:
                link.unlink(missing_ok=True)
                link.symlink_to(target)
        except OSError as error:
            raise problem_of(error, link, remedy=f"remove {at}") from None
    return at


def rotate_secret(folder: Path, service: str, name: str) -> None:
    """Put a new key before the one in use, which still verifies.

    Raises:
        KeysError: There is no such secret, or it has two keys.
    """
    with locked(folder):
        path = _secret_path(folder, service, name)
        keys = read_secret(path)
        if len(keys) > 1:
            raise KeysError(
                f"{path} still has an old key: run "
                f"`lockstep keys rotate-secret {service} {name} --drop-old` first"
            )
        _write_secret(path, secrets.token_bytes(SECRET_BYTES), keys[0])


def keys_of_secret(folder: Path, service: str, name: str) -> tuple[bytes, ...]:
    """Return the keys of a secret, the newest first.

    Raises:
        KeysError: There is no such secret, or it is damaged.
    """
    return read_secret(_secret_path(folder, service, name))


def drop_old_secret(folder: Path, service: str, name: str) -> None:
    """Drop the old key: what it made is refused from then on.

    Raises:
        KeysError: There is no such secret, or it has no old key.
    """
    with locked(folder):
        path = _secret_path(folder, service, name)
        keys = read_secret(path)
        if len(keys) == 1:
            raise KeysError(f"{path} has no old key: there is nothing to drop")
        _write_secret(path, keys[0])


def list_token_keys(folder: Path) -> list[TokenKey]:
    """List the token keys, newest first.

    Raises:
        KeysError: There are none, or they cannot be read.
    """
    return read_tokens(_tokens(folder))


def rotate_token_key(folder: Path) -> str:
    """Make a new signing key and return its id; the old one verifies until its tokens expire."""
    with locked(folder):
        now = time.time()
        known = [_retiring(key, now) for key in list_token_keys(folder) if key.verifies(now)]
        return _add_token_key(_tokens(folder), known)


def retire_token_key(folder: Path, kid: str) -> None:
    """Let Auth refuse the tokens of this key at once.

    Raises:
        KeysError: The key is unknown, or signs the new tokens.
    """
    with locked(folder):
        known = list_token_keys(folder)
        key = next((key for key in known if key.kid == kid), None)
        if key is None:
            raise KeysError(f"there is no token key {kid}: `lockstep keys list` shows them")
        if key.active:
            raise KeysError(f"{kid} signs the new tokens: run `lockstep keys rotate` first")
        _write_tokens(_tokens(folder), [other for other in known if other.kid != kid])


def _tokens(folder: Path) -> Path:
    return folder / "auth" / "tokens"


def _move_old_layout(folder: Path) -> bytes | None:
    """Move keys to where they are now, and return the secret that all services had, if it is there.

    Each file is written at its new place before it goes from its old one, which may be on
    another volume. So a move that was interrupted goes on at the next call.
    """
    old_tokens = folder / "tokens"
    for path in sorted(folder.glob("*.pem")):
        _move(path, folder / path.stem / IDENTITY)
    if old_tokens.is_dir():
        # The state comes last: it names the others.
        for path in (*sorted(old_tokens.glob("*.pem")), old_tokens / "tokens.json"):
            if path.exists():
                _move(path, _tokens(folder) / path.name)
        _remove(old_tokens)
    secret = folder / "secret"
    if not secret.exists():
        return None
    key = read_file(secret, remedy="restore it, or remove it: open codes and repeats end then")
    if len(key) != SECRET_BYTES:
        raise KeysError(
            f"{secret} is damaged: it must hold {SECRET_BYTES} bytes; restore it, or remove it: "
            "open codes and repeats end then"
        )
    return key


def _move(path: Path, target: Path) -> None:
    content = read_file(path, remedy=RESTORE)
    if target.exists() and read_file(target, remedy=RESTORE) != content:
        raise KeysError(f"{path} and {target} differ: remove the one that is not in use")
    write_file(target, content)
    _remove(path)


def _make_identity(folder: Path, name: str, trusted: dict[str, str]) -> bool:
    path = folder / name / IDENTITY
    if path.exists() or name in trusted:
        return False
    write_file(path, _private_text(ec.generate_private_key(ec.SECP256R1())))
    return True


def _trust(folder: Path, here: Iterable[str], trusted: dict[str, str]) -> None:
    """Let trusted.json name the public key of each private key that is here."""
    named = dict(trusted)
    for name in here:
        public = read_private(folder / name / IDENTITY, remedy=ELSEWHERE).public_key()
        named[name] = _public_bytes(public, serialization.Encoding.PEM).decode()
    if named != trusted:
        write_file(folder / TRUSTED, json.dumps(named, indent=1).encode())


def _make_secrets(folder: Path, service: str, inherited: bytes | None) -> bool:
    missing = [name for name in secrets_of(service) if not (folder / name).exists()]
    for name in missing:
        old = [inherited] if inherited is not None and name in INHERITED else []
        _write_secret(folder / name, secrets.token_bytes(SECRET_BYTES), *old)
    return bool(missing)


def _make_token_key(folder: Path) -> None:
    if not (_tokens(folder) / "tokens.json").exists():
        _add_token_key(_tokens(folder), [])


def _check(folder: Path, here: Iterable[str]) -> None:
    """Refuse what is there and cannot be used: nothing that is there is replaced."""
    read_trusted(folder / TRUSTED)
    paths = [folder / name / each for name in here for each in secrets_of(name)]
    refuse_alike({path: read_secret(path) for path in paths})
    if "auth" in here:
        SigningKeys.load(folder)


def _secret_path(folder: Path, service: str, name: str) -> Path:
    names = secrets_of(service)
    if name not in names:
        has = f"it has {', '.join(names)}" if names else "it has none"
        raise KeysError(f"{service} has no secret {name}: {has}")
    return folder / service / name


def _write_secret(path: Path, *keys: bytes) -> None:
    lines = [base64.urlsafe_b64encode(key).rstrip(b"=") + b"\n" for key in keys]
    write_file(path, b"".join(lines))


def _add_token_key(folder: Path, known: list[TokenKey]) -> str:
    private = ec.generate_private_key(ec.SECP256R1())
    public = _public_bytes(private.public_key(), serialization.Encoding.DER)
    kid = hashlib.sha256(public).hexdigest()[:16]
    write_file(folder / f"{kid}.pem", _private_text(private))
    new = TokenKey(kid=kid, active=True, create_time=time.time(), verify_until=None)
    _write_tokens(folder, [new, *known])
    return kid


def _retiring(key: TokenKey, now: float) -> TokenKey:
    until = now + TOKEN_OVERLAP_SECONDS if key.verify_until is None else key.verify_until
    return replace(key, active=False, verify_until=until)


def _write_tokens(folder: Path, keys: list[TokenKey]) -> None:
    """Write the state, and then delete the keys that it no longer names."""
    state = json.dumps([asdict(key) for key in keys], indent=1)
    write_file(folder / "tokens.json", state.encode())
    named = {f"{key.kid}.pem" for key in keys}
    for path in folder.glob("*.pem"):
        if path.name not in named:
            _remove(path)


def _trusted_texts(folder: Path) -> dict[str, str]:
    path = folder / TRUSTED
    return read_trusted_texts(path) if path.exists() else {}


def _private_text(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _public_bytes(key: PublicKey, encoding: serialization.Encoding) -> bytes:
    return key.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def _remove(path: Path) -> None:
    """Remove a file, or a folder that is empty."""
    try:
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise problem_of(error, path, remedy="run `lockstep keys init` again") from None
