"""Pictures of products: decoded apart from the service, within limits of time and memory."""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog

from services.commerce.model import ProductFields
from services.kernel.errors import DeadlineExceeded, InvalidField, Violation

UPLOAD_BYTES_MAX: Final = 1024 * 1024
# Two at once, so that uploads take neither the memory nor the processors of the service.
DECODED_AT_ONCE: Final = 2
DECODE_SECONDS: Final = 8.0
TYPE: Final = "image/webp"
PATH: Final = "/v1/images/"
_PROGRAM: Final = Path(__file__).with_name("decode_picture.py")
# The program's exit status after a refusal. It is not imported: a service needs no decoders.
REFUSED: Final = 3
_ID: Final = re.compile(r"[0-9a-f]{64}")
_OWN: Final = re.compile(rf"{PATH}[0-9a-f]{{64}}")

log = structlog.get_logger("lockstep.pictures")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was written anew, and its id, which follows from it and its product."""

    id: str
    data: bytes

    @classmethod
    def of(cls, product_id: UUID, data: bytes) -> Picture:
        """Return a picture of a product."""
        return cls(hashlib.sha256(product_id.bytes + data).hexdigest(), data)

    @property
    def path(self) -> str:
        """The path under which the gateway serves it."""
        return PATH + self.id


def is_id(text: str) -> bool:
    """Say whether a text has the form of a picture's id."""
    return _ID.fullmatch(text) is not None


def is_own(url: str) -> bool:
    """Say whether a URL is the path of an uploaded picture."""
    return _OWN.fullmatch(url) is not None


def ensure_web_url(fields: ProductFields) -> None:
    """Make sure that a new URL leads to the web: only an upload makes a path.

    Raises:
        InvalidField: It is a path.
    """
    if is_own(fields.image_url):
        raise InvalidField(
            Violation("product.image_url", "must be an http or https URL, or stay as it was")
        )


@dataclass(frozen=True, slots=True)
class PictureDecoder:
    """Decodes uploads, each in a process of its own."""

    _turns: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(DECODED_AT_ONCE), init=False
    )

    async def decode(self, upload: bytes) -> tuple[bytes, bytes]:
        """Return a large and a small picture.

        Raises:
            InvalidField: The upload is no picture that is allowed.
            DeadlineExceeded: It took too long.
        """
        try:
            async with asyncio.timeout(DECODE_SECONDS), self._turns:
                status, output = await _run(upload)
        except TimeoutError:
            raise DeadlineExceeded from None
        if status == REFUSED:
            raise _wrong(output.decode())
        if status:  # it met a limit, or broke the decoder
            log.warning("picture not decoded", status=status, bytes=len(upload))
            raise _wrong("must be a picture that can be read with little time and memory")
        length = int.from_bytes(output[:4])
        return output[4 : 4 + length], output[4 + length :]


async def _run(upload: bytes) -> tuple[int, bytes]:
    """Run the program, and end it if nobody waits any more."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",  # nothing of the environment is its concern
        str(_PROGRAM),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
    )
    try:
        output, _ = await process.communicate(upload)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output


def _wrong(text: str) -> InvalidField:
    return InvalidField(Violation("image", text))
