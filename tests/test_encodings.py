"""Text has the same encoding everywhere: no file is read by that of the locale.

An operator's shell, cron or ssh may have any. The same holds for the output of programs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = [
    path
    for folder in ("services", "gateway/src", "clients/python/src/lockstep_clients")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
# The position of the encoding among the arguments.
PLACES = {"read_text": 0, "write_text": 1}
OPENING = {"open", "fdopen", "NamedTemporaryFile", "TemporaryFile"}
RUNNING = {"run", "Popen", "check_output"}
KEEPING = {"FileHandler", "RotatingFileHandler"}
READS_JSON = {"strictjson.py", "protojson.py"}  # whose `read_text` reads no file


def faults(source: str) -> Iterator[int]:
    """Return the lines that open text by the encoding of the locale."""
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        name = name or (call.func.id if isinstance(call.func, ast.Name) else "")
        given = {each.arg: each.value for each in call.keywords}
        has_encoding = "encoding" in given or len(call.args) > PLACES.get(name, 99)
        texts = [each.value for each in call.args if isinstance(each, ast.Constant)]
        mode = next(
            (text for text in texts if isinstance(text, str) and text[:1] in set("rwax")), ""
        )
        is_text = (
            name in PLACES
            or (name in OPENING and mode and len(mode) <= 3 and "b" not in mode)
            or (name in RUNNING and {"text", "universal_newlines"} & given.keys())
            or (name in KEEPING)
        )
        if is_text and not has_encoding:
            yield call.lineno


@pytest.mark.parametrize(
    "source",
    ["p.read_text()", "p.write_text(t)", "p.open('w')", "open(p, 'r')", "run(a, text=True)"],
)
def test_the_check_finds_a_locale(source: str) -> None:
    assert list(faults(source)) == [1]


def test_no_text_is_read_or_written_by_the_locale() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SHIPPED
        if path.name not in READS_JSON
        for line in faults(path.read_text("utf-8"))
    ]
    assert found == []
