"""Every statement of the services can be prepared on the migrated database of its service."""

from __future__ import annotations

import ast
import importlib
import itertools
import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy import column, select, table

import services
from services.commerce.model import Filters, Sort
from services.commerce.store import listing, relevance
from services.commerce.store.listing import CountRow, Position
from services.kernel.db.database import Reader
from services.kernel.db.statement import NoParameters, Statement
from services.kernel.ids import new_id
from tests.conftest import Databases

AnyStatement = Statement[Any, Any]
Statements = dict[str, AnyStatement]
Connections = Mapping[str, psycopg.Connection]

OWNERS = ("auth", "profile", "commerce")
# Modules with functions that make statements. `of_listing` calls those of listing; the
# others put theirs into values of modules.
BUILDERS = {
    "services.commerce.store.carts",
    "services.commerce.store.fulfilment",
    "services.commerce.store.listing",
    "services.commerce.store.relevance",
    "services.commerce.store.sales",
    "services.common.forgetting",
    "services.common.ledger",
    "services.kernel.db.cleaner",
}


@dataclass(frozen=True, slots=True)
class Misspelled:
    nmae: str


@pytest.fixture
def connections(databases: Databases, stack: ExitStack) -> Connections:
    return {
        owner: stack.enter_context(psycopg.connect(databases.fresh(stack, owner), autocommit=True))
        for owner in OWNERS
    }


async def test_every_statement_can_be_prepared(connections: Connections) -> None:
    assert complaints(of_modules() | await of_listing(), connections) == {}


def test_a_statement_that_cannot_be_prepared_is_named(connections: Connections) -> None:
    planted: Statements = {
        "services.auth.store.users:_X": misspelled("users"),
        "services.kernel.sagas.store:_X": misspelled("sagas"),
        "services.kernel.sagas.store:_Y": misspelled("sages"),
    }
    assert complaints(planted, connections) == {
        "services.auth.store.users:_X": 'column "nmae" does not exist',
        "services.kernel.sagas.store:_X": 'column "nmae" does not exist',
        "services.kernel.sagas.store:_Y": 'relation "sages" does not exist',
    }


def test_a_statement_is_found_in_its_module_and_inside_of_other_values() -> None:
    assert "services.kernel.db.cleaner:OLD_KEYS.statement" in of_modules()
    assert "services.profile.store.wallets:_GET" in of_modules()
    assert "services.profile.store.profiles:FORGETTING._sorts[0].forget" in of_modules()
    one, other = misspelled("users"), misspelled("sagas")
    assert dict(inside({"a": [one, (other,)]}, "m:X")) == {
        "m:X['a'][0]": one,
        "m:X['a'][1][0]": other,
    }


def test_no_other_module_makes_statements_in_functions() -> None:
    folder = Path(services.__file__).parent
    found = {
        ".".join(path.relative_to(folder.parent).with_suffix("").parts)
        for path in folder.rglob("*.py")
        if makes_statements_in_functions(ast.parse(path.read_text()))
    }
    assert found == BUILDERS


def misspelled(name: str) -> AnyStatement:
    return Statement(select(column("nmae")).select_from(table(name)), NoParameters, Misspelled)


def complaints(statements: Statements, connections: Connections) -> dict[str, str]:
    """Return why PostgreSQL refuses statements, by their names."""
    return {
        name: refusal
        for name, statement in statements.items()
        if (refusal := refusal_of(name, statement, connections)) is not None
    }


def refusal_of(name: str, statement: AnyStatement, connections: Connections) -> str | None:
    """Return why a database refuses a statement, or None.

    The statements of the kernel and of other shared modules are for each database that
    has their tables.
    """
    owner = name.split(".")[1]
    if owner in connections:
        return error_of(statement, connections[owner])
    errors = [error_of(statement, each) for each in connections.values()]
    without = [each for each in errors if each is not None and each.startswith("relation ")]
    if len(without) == len(errors):
        return without[0]
    return next((each for each in errors if each is not None and each not in without), None)


def error_of(statement: AnyStatement, connection: psycopg.Connection) -> str | None:
    try:
        connection.execute(b"PREPARE statement AS " + statement.sql)
    except psycopg.Error as error:
        return error.diag.message_primary
    connection.execute(b"DEALLOCATE statement")
    return None


def of_modules() -> Statements:
    """Return the statements of all modules, each once, by the name of the module that makes it."""
    names = [each.name for each in pkgutil.walk_packages(services.__path__, "services.")]
    names.sort(key=lambda name: (name.split(".")[1] in OWNERS, ".store." not in name))
    found: Statements = {}
    for name in names:
        for key, value in vars(importlib.import_module(name)).items():
            for path, statement in inside(value, f"{name}:{key}"):
                if statement not in found.values():
                    found[path] = statement
    return found


def inside(value: object, path: str) -> Iterator[tuple[str, AnyStatement]]:
    """Find statements in a value of a module: in collections and in objects of ours, too."""
    if isinstance(value, Statement):
        yield path, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from inside(each, f"{path}[{key!r}]")
    elif isinstance(value, list | tuple | set | frozenset):
        for number, each in enumerate(value):
            yield from inside(each, f"{path}[{number}]")
    elif type(value).__module__.startswith("services."):
        slots = getattr(value, "__slots__", ())
        for name in (*getattr(value, "__dict__", ()), *slots):
            yield from inside(getattr(value, name, None), f"{path}.{name}")


def makes_statements_in_functions(module: ast.Module) -> bool:
    return any(
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "Statement"
        for function in ast.walk(module)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for call in ast.walk(function)
    )


@dataclass
class Recorder:
    """A reader that notes the statements it is given, and finds nothing."""

    statements: Statements = field(default_factory=dict)

    async def all(self, statement: AnyStatement, /, *_: object, **__: object) -> list[CountRow]:
        self.statements[f"{listing.__name__}:{len(self.statements)}"] = statement
        return []


async def of_listing() -> Statements:
    """Return the statements that list products, one for each combination of filters."""
    recorder = Recorder()
    reader = cast(Reader, recorder)
    ids = (None, new_id())
    for category_id, seller_id, price, stock, words, sort in itertools.product(
        ids, ids, (None, 1), (None, 1), (None, "word"), listing.SORTS
    ):
        filters = Filters(category_id, price, price, words, sort, stock, stock, seller_id)
        for after in (None, Position(1, new_id())):
            await listing.list_products(reader, filters, after=after, skip=0, limit=1)
        await listing.read_products(reader, filters, [new_id()])
        with suppress(ValueError):  # a count has a row
            await listing.count_products(reader, filters)
    # Without words nine of 24 lists are served by an index: all six without bounds, two with
    # bounds of the price, one with bounds of the stock. Of those of a seller one is, without a
    # category. Another page takes two statements.
    counts = 2 * 2 * 2 * 2 * 2 * len(listing.SORTS)
    pages = 2 * sum(served + 2 * (48 - served) for served in (9, 9, 1, 0))
    known = counts
    assert len(recorder.statements) == counts + pages + known
    for category_id, bound in itertools.product((None, new_id()), (None, 1)):
        filters = Filters(category_id, bound, bound, "word", Sort.RELEVANCE, bound, bound)
        for after in (None, Position((1, datetime.now(UTC)), new_id())):
            await relevance.list_products(reader, filters, after=after, skip=0, limit=1)
    return recorder.statements
