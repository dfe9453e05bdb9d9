"""Error texts and the other texts for people, held against the rules of CONTRIBUTING.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVICES = sorted(
    each for folder in ("services", "gateway/src") for each in (ROOT / folder).rglob("*.py")
)
CLIENT = sorted((ROOT / "clients" / "python" / "src" / "lockstep_clients").rglob("*.py"))
WEB = sorted(
    each for each in (ROOT / "clients" / "web").rglob("*") if each.suffix in {".js", ".html"}
)
PROTOS = sorted((ROOT / "protos").rglob("*.proto"))

ADDING = {"Violation", "add"}
DESCRIPTION = re.compile(r"(must|is|was|cannot)\b")
OBLIGATION = re.compile(r"\b(has|have|had) to\b", re.IGNORECASE)
NEGATION = re.compile(r"(?<!\bthere )\b(is|are) no\b(?! (longer|more)\b)", re.IGNORECASE)
JS_COMMENT = re.compile(r"/\*.*?\*/|(?<![:\"'])//[^\n]*", re.DOTALL)
SENTENCES = re.compile(r"[A-Z].*[.?]", re.DOTALL)


def test_the_description_of_a_wrong_field_says_what_it_must_be() -> None:
    found = [each for source in SERVICES for each in descriptions(source)]
    assert len(found) > 40
    assert [f"{place}: {text}" for place, text in found if not DESCRIPTION.match(text)] == []


def test_an_error_tells_its_caller_whole_sentences() -> None:
    found = [each for source in SERVICES for each in messages(source)]
    assert len(found) > 40
    assert [f"{place}: {text}" for place, text in found if not SENTENCES.fullmatch(text)] == []


@pytest.mark.parametrize("wrong", [OBLIGATION, NEGATION], ids=["has to", "is no"])
def test_no_text_uses_a_phrase_that_has_a_plainer_form(wrong: re.Pattern[str]) -> None:
    found = [each for source in (*SERVICES, *CLIENT) for each in texts(source)]
    found += [(str(page), JS_COMMENT.sub("", page.read_text())) for page in WEB]
    found += [(str(proto), proto.read_text()) for proto in PROTOS]
    assert len(found) > 1000
    assert [
        f"{place}: {each[0]}" for place, text in found for each in [wrong.search(text)] if each
    ] == []


def texts(source: Path) -> Iterator[tuple[str, str]]:
    """Yield each string of a file that is no docstring; an f-string as one text."""
    tree = ast.parse(source.read_text())
    skipped = {id(part) for node in ast.walk(tree) for part in _not_texts(node)}
    for node in ast.walk(tree):
        if id(node) not in skipped and (text := text_of(node)) is not None:
            yield f"{source.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", text


def descriptions(source: Path) -> Iterator[tuple[str, str]]:
    """Yield the descriptions that a file gives to `Violation` and to `add`."""
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Call(func=function, args=[_, description]) if _name(function) in ADDING:
                for branch in _branches(description):
                    if (text := text_of(branch)) is not None:
                        yield f"{source.relative_to(ROOT)}:{node.lineno}", text
            case _:
                pass


def messages(source: Path) -> Iterator[tuple[str, str]]:
    """Yield the texts of the errors that a file defines, and the messages that it gives to them."""
    nodes = list(ast.walk(ast.parse(source.read_text())))
    errors = {name for node in nodes for name in _errors_imported(node)}
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id="text")], value=ast.Constant(value=str(text))):
                yield f"{source.relative_to(ROOT)}:{node.lineno}", text
            case ast.Call(func=function, args=[first, *_]) if _name(function) in errors:
                if (message := text_of(first)) is not None:
                    yield f"{source.relative_to(ROOT)}:{node.lineno}", message
            case _:
                pass


def text_of(node: ast.AST) -> str | None:
    """Return a string, or an f-string with `...` for each of its values."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(text_of(each) or "..." for each in values)
        case _:
            return None


def _errors_imported(node: ast.AST) -> Iterator[str]:
    """Yield the domain errors that a statement imports; the command's own error is a phrase."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").endswith(".errors"):
        yield from {each.name for each in node.names} - {"Violation", "CommandError"}


def _branches(node: ast.expr) -> tuple[ast.expr, ...]:
    return (node.body, node.orelse) if isinstance(node, ast.IfExp) else (node,)


def _name(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _not_texts(node: ast.AST) -> Iterator[ast.AST]:
    """Yield docstrings and the parts of f-strings."""
    if isinstance(node, ast.Expr):
        yield node.value
    if isinstance(node, ast.JoinedStr):
        yield from node.values
