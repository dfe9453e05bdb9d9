"""Rules that hold for all of the code."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
KERNEL = ROOT / "services" / "kernel"
CLIENTS = ROOT / "clients" / "python" / "src" / "lockstep_clients"
SOURCES = {
    str(source.relative_to(ROOT)): source.read_text()
    for folder in ("services", "gateway/src")
    for source in sorted((ROOT / folder).rglob("*.py"))
}

# The name of a service, as a word or at the beginning of a class's name. `from operator
# import` is Python's own module, and `auth_context` is gRPC's.
SERVICE = re.compile(
    r"(?<![A-Za-z])(?i:auth|profile|commerce|gateway|operator)(?![A-Za-z]| import|_context\b)"
    r"|\b(Auth|Profile|Commerce|Gateway|Operator)(?=[A-Z])"
)

UNTYPED = re.compile(r"Row = Any|row: Row\b|\*\*parameters: Any|Json = dict\[str, Any\]")


def test_no_line_of_the_kernel_names_a_service() -> None:
    named = [
        f"{source.relative_to(ROOT)}:{number}: {line.strip()}"
        for source in sorted(KERNEL.rglob("*.py"))
        for number, line in enumerate(source.read_text().splitlines(), 1)
        if SERVICE.search(line)
    ]
    assert named == []


def test_functions_are_short() -> None:
    """The functions of migrations do not count: a migration never changes."""
    lengths = {
        f"{name}:{function.lineno}": length(text, function)
        for name, text in SOURCES.items()
        if "/migrations/versions/" not in name
        for function in ast.walk(ast.parse(text))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(lengths) > 1000
    assert {place: lines for place, lines in lengths.items() if lines > 45} == {}
    assert sorted(lengths.values())[len(lengths) * 9 // 10] <= 20


def test_files_are_short() -> None:
    lengths = {name: len(text.splitlines()) for name, text in SOURCES.items()}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def test_compositions_are_short() -> None:
    roots = {name: text for name, text in SOURCES.items() if name.endswith("/__main__.py")}
    lengths = {name: len(text.splitlines()) for name, text in roots.items()}
    assert len(lengths) >= 4
    assert {name: lines for name, lines in lengths.items() if lines > 120} == {}


def test_channels_are_opened_in_one_way() -> None:
    """The gateway's upstreams take the options of the clients; the command asks one address."""
    opening = re.compile(r"\b(in)?secure_channel\(")
    sources = SOURCES | {source.name: source.read_text() for source in CLIENTS.glob("*.py")}
    assert {name for name, text in sources.items() if opening.search(text)} == {
        "blocking.py",
        "channels.py",
        "gateway/src/lockstep_gateway/http/upstream.py",
        "services/cli/health.py",
    }


def test_each_class_has_a_name_of_its_own() -> None:
    times = Counter(
        each.name
        for text in SOURCES.values()
        for each in ast.walk(ast.parse(text))
        if isinstance(each, ast.ClassDef)
    )
    assert [name for name, number in times.items() if number > 1] == []


def test_no_docstring_says_only_to_read_another_one() -> None:
    assert [name for name, text in SOURCES.items() if '"""See the class."""' in text] == []


def test_rows_parameters_and_json_have_types() -> None:
    found = [
        f"{name}: {each[0]}" for name, text in SOURCES.items() for each in UNTYPED.finditer(text)
    ]
    assert found == []


def length(text: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines of a function are not blank."""
    lines = text.splitlines()[function.lineno - 1 : function.end_lineno]
    return sum(1 for line in lines if line.strip())
