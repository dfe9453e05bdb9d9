"""No test demands that the machine is fast: a busy one may stand still for seconds."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
TESTS = sorted(
    each for each in FOLDER.rglob("*.py") if each.relative_to(FOLDER).parts[0] != "bench"
)

SECONDS_MIN = 5
"""The least time in which something must happen."""
PLACES = {"asyncio.timeout": 0, "asyncio.wait_for": 1}
"""The functions that take a limit, and the place of it."""
KEYWORDS = {
    "asyncio.wait_for": "timeout",
    **dict.fromkeys(("until", "until_found", "wait_until"), "seconds"),
}
CLOCKS = {"time.monotonic", "time.perf_counter", "time.time"}


def test_no_test_demands_that_the_machine_is_fast() -> None:
    assert len(TESTS) > 400
    found = [
        f"{test.relative_to(FOLDER)}:{line}"
        for test in TESTS
        for line in hasty_lines(ast.parse(test.read_text()))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "is_hasty"),
    [
        ("async with asyncio.timeout(1): await it", True),
        ("async with asyncio.timeout(20): await it", False),
        ("with pytest.raises(TimeoutError):\n async with asyncio.timeout(1): await it", False),
        ("await asyncio.wait_for(it, 0.5)", True),
        ("await asyncio.wait_for(it, timeout=0.5)", True),
        ("with suppress(TimeoutError): await asyncio.wait_for(it, 0.5)", False),
        ("await until(it, seconds=3)", True),
        ("assert time.monotonic() - began < 2", True),
        ("assert time.monotonic() - began < SECONDS_MAX", False),
        ("async with asyncio.timeout(QUICK): await it", True),
    ],
)
def test_such_tests_are_found(code: str, is_hasty: bool) -> None:
    constants = "QUICK: Final = 1\nSECONDS_MAX = 20\n"
    tree = ast.parse(f"{constants}async def test():\n " + code.replace("\n", "\n "))
    assert bool(list(hasty_lines(tree))) is is_hasty


def hasty_lines(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that demand something within less than the least time.

    A limit that is expected to be exceeded may be short.
    """
    expected = {
        id(inner) for node in ast.walk(tree) if expects_a_timeout(node) for inner in ast.walk(node)
    }
    short = short_names(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Call() if id(node) not in expected:
                if any(is_short(limit, short) for limit in limits_of(node)):
                    yield node.lineno
            case ast.Compare(
                left=ast.BinOp(left=ast.Call(func=clock), op=ast.Sub()),
                ops=[ast.Lt() | ast.LtE()],
                comparators=[most],
            ) if ast.unparse(clock) in CLOCKS and is_short(most, short):
                yield node.lineno
            case _:
                pass


def expects_a_timeout(node: ast.AST) -> bool:
    match node:
        case ast.With(items=[*parts]) | ast.Try(handlers=[*parts]):
            return any("TimeoutError" in ast.unparse(part).splitlines()[0] for part in parts)
        case _:
            return False


def limits_of(call: ast.Call) -> list[ast.expr]:
    name = ast.unparse(call.func)
    place, keyword = PLACES.get(name, len(call.args)), KEYWORDS.get(name, "")
    return [
        *call.args[place : place + 1],
        *(each.value for each in call.keywords if each.arg == keyword),
    ]


def short_names(tree: ast.AST) -> set[str]:
    """Return the constants of a file that are less than the least time."""
    found = set()
    for node in ast.iter_child_nodes(tree):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if is_short(value, set()):
                found.add(name)
            case _:
                pass
    return found


def is_short(limit: ast.expr, short: set[str]) -> bool:
    match limit:
        case ast.Constant(value=int() | float() as seconds):
            return seconds < SECONDS_MIN
        case ast.Name(id=name):
            return name in short
        case _:
            return False
