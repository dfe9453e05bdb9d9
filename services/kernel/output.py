"""Output that takes every text, whatever the locale is."""

import io
from typing import TextIO


def take_all(*streams: TextIO) -> None:
    """Let streams escape the characters that their encoding lacks: no line may fail by them."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
