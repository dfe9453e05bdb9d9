"""Rules that hold for all of the code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
KERNEL = ROOT / "services" / "kernel"

# The name of a service, as a word or at the beginning of a class's name. `from operator
# import` is Python's own module.
SERVICE = re.compile(
    r"(?<![A-Za-z])(?i:auth|profile|commerce|gateway|operator)(?![A-Za-z]| import)"
    r"|\b(Auth|Profile|Commerce|Gateway|Operator)(?=[A-Z])"
)


def test_no_line_of_the_kernel_names_a_service() -> None:
    named = [
        f"{source.relative_to(ROOT)}:{number}: {line.strip()}"
        for source in sorted(KERNEL.rglob("*.py"))
        for number, line in enumerate(source.read_text().splitlines(), 1)
        if SERVICE.search(line)
    ]
    assert named == []
