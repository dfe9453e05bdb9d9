"""A picture to upload."""

from __future__ import annotations

import io

from PIL import Image


def small_picture() -> bytes:
    """Return a PNG of a few pixels."""
    out = io.BytesIO()
    Image.new("RGB", (60, 40), "teal").save(out, "PNG")
    return out.getvalue()
