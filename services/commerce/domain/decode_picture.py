"""Make two pictures of WebP from an upload: a program of its own, with limits of its own.

It runs apart from the service, so that a picture that is made to harm a decoder ends this
process and nothing else. It reads the upload from its input. It writes the length of the large
picture in four bytes, then both pictures. What it refuses it tells as a text and by its status.
"""

from __future__ import annotations

import contextlib
import io
import resource
import sys
from typing import Final, NoReturn

from PIL import Image, ImageOps

FORMATS: Final = ("JPEG", "PNG", "WEBP")
PIXELS_MAX: Final = 24_000_000
SIDE: Final = 1200
THUMBNAIL_SIDE: Final = 400
# The first quality with which a picture is small enough counts.
QUALITIES: Final = (82, 60, 30)
PICTURE_BYTES_MAX: Final = 1024 * 1024
MEMORY_BYTES: Final = 768 * 1024 * 1024
CPU_SECONDS: Final = 8
# The exit status after a refusal. `pictures.REFUSED`, which cannot be imported here, is the same.
REFUSED: Final = 3
# Pictures of cameras that hold a second one.
PAIRS: Final = "MPO"


def main() -> None:
    """Decode the input."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    upload = sys.stdin.buffer.read()
    try:
        picture = _decoded(upload)
    except Exception:  # noqa: BLE001 - a decoder may raise anything
        refuse("must be a JPEG, PNG or WebP picture that can be read")
    large = _written(picture, SIDE)
    small = _written(picture, THUMBNAIL_SIDE)  # of the large one, which is decoded already
    sys.stdout.buffer.write(len(large).to_bytes(4) + large + small)


def refuse(text: str) -> NoReturn:
    """Say why the picture is refused."""
    sys.stdout.write(text)
    sys.exit(REFUSED)


def _decoded(upload: bytes) -> Image.Image:
    # The number of pixels is checked here, before they are decoded.
    Image.MAX_IMAGE_PIXELS = None
    picture: Image.Image = Image.open(io.BytesIO(upload), formats=FORMATS)
    if picture.width * picture.height > PIXELS_MAX:
        refuse(f"must have at most {PIXELS_MAX // 1_000_000} million pixels")
    if getattr(picture, "is_animated", False) and picture.format != PAIRS:
        refuse("must be one picture, and not an animation")
    picture.draft("RGB", (SIDE, SIDE))  # lets the decoder of JPEG shrink it
    picture.load()
    with contextlib.suppress(Exception):  # what it says of itself may be broken
        picture = ImageOps.exif_transpose(picture)
    if picture.mode == "I;16":
        picture = picture.convert("L")
    is_clear = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    return picture.convert("RGBA" if is_clear else "RGB")


def _written(picture: Image.Image, side: int) -> bytes:
    """Shrink a picture and write it anew, without what the upload said beside it."""
    picture.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    picture.info.clear()
    for quality in QUALITIES:
        out = io.BytesIO()
        picture.save(out, "WEBP", quality=quality, method=4)
        if out.tell() <= PICTURE_BYTES_MAX:
            return out.getvalue()
    refuse("must be a picture that can be compressed")


if __name__ == "__main__":
    main()
