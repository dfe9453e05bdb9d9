"""An operator, an account and users of NATS, as its command `nsc` makes them."""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

OPERATOR, ACCOUNT, USER, SEED = 14 << 3, 0, 20 << 3, 18 << 3
UNLIMITED: Final = dict.fromkeys(
    [
        "subs",
        "data",
        "payload",
        "imports",
        "exports",
        "conn",
        "leaf",
        "mem_storage",
        "disk_storage",
        "streams",
        "consumer",
    ],
    -1,
)

NO_JETSTREAM: Final = UNLIMITED | dict.fromkeys(
    ("mem_storage", "disk_storage", "streams", "consumer"), 0
)


@dataclass
class Identity:
    """Somebody whom NATS knows by a key."""

    kind: int
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> str:
        """The public key, as NATS writes it."""
        return _written(bytes([self.kind]) + self.private.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        """The private key, as NATS writes it."""
        first = bytes([SEED | self.kind >> 5, (self.kind & 31) << 3])
        return _written(first + self.private.private_bytes_raw())

    def claim(self, about: Identity, name: str, **nats: Any) -> str:
        """Sign a JWT about somebody."""
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        now = int(time.time())
        claims = {"jti": name, "iat": now, "iss": self.public, "sub": about.public, "name": name}
        signed = ".".join(_url(json.dumps(each).encode()) for each in (head, claims | nats))
        return f"{signed}.{_url(self.private.sign(signed.encode()))}"


@dataclass
class Company:
    """The operator of a server, with one account."""

    operator: Identity = field(default_factory=lambda: Identity(OPERATOR))
    account: Identity = field(default_factory=lambda: Identity(ACCOUNT))
    system: Identity = field(default_factory=lambda: Identity(ACCOUNT))

    @property
    def configuration(self) -> str:
        """Lines of the server's configuration, with which only the account's users may connect."""
        by = self.operator
        operator = by.claim(by, "company", nats={"type": "operator", "version": 2})
        accounts = {
            self.account.public: self._described(self.account, "shop", UNLIMITED),
            # JetStream needs an account for the server itself.
            self.system.public: self._described(self.system, "SYS", NO_JETSTREAM),
        }
        preloaded = "".join(f"  {public}: {jwt}\n" for public, jwt in accounts.items())
        return (
            f"operator: {operator}\nsystem_account: {self.system.public}\n"
            f"resolver: MEMORY\nresolver_preload: {{\n{preloaded}}}\n"
        )

    def _described(self, account: Identity, name: str, limits: Mapping[str, int]) -> str:
        content = {"type": "account", "version": 2, "limits": {**limits, "wildcards": True}}
        return self.operator.claim(account, name, nats=content)

    def credentials(self) -> str:
        """Return the credentials file of a new user."""
        user = Identity(USER)
        content = {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}
        jwt = self.account.claim(user, "relay", nats=content)
        return (
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            "*** keep it secret ***\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
        )


def _written(content: bytes) -> str:
    checksum = binascii.crc_hqx(content, 0).to_bytes(2, "little")
    return base64.b32encode(content + checksum).decode().rstrip("=")


def _url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
