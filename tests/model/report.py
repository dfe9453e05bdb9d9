"""The section of docs/reliability.md about the model."""

from __future__ import annotations

from tests.model.protocol import PROTECTIONS, Protocol, explore


def section() -> list[str]:
    """Explore the model, and return what it found as lines of Markdown."""
    found = explore(Protocol())
    return [
        "## The model",
        "",
        (
            "`tests/model` visits every state of the protocol of one saga: two drivers that stop"
            " anywhere and go on at any time, messages that are lost, late and repeated without"
            " limit, two clocks, and the clean-up of barriers. It knows no SQL and no"
            " connections, which the schedules above play for real."
        ),
        "",
        (
            f"{len(found.came_from):,} states with clocks that differ, none of which breaks an"
            " invariant. Each protection is needed: without it the model reaches a broken state"
            " by these moves."
        ),
        "",
        "| without | breaks | shortest way |",
        "|---|---|---|",
        *map(_row, PROTECTIONS),
        "",
    ]


def _row(protection: str) -> str:
    found = explore(Protocol(**{protection: False}))
    return f"| `{protection}` | {found.failure} | {' · '.join(found.trace)} |"
