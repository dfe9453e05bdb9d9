"""The blocks of code in a page."""

from __future__ import annotations

import re

# Whatever follows the first three backticks: the end of a block must not begin another.
_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fences(page: str, info: str) -> list[str]:
    """Return the blocks of a page with these words behind their first backticks."""
    return [text for found, text in _BLOCK.findall(page) if found == info]
