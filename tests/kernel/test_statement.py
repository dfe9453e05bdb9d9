"""Statements: a wrong name or type is refused where the statement is written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType
from uuid import UUID

import pytest
from sqlalchemy import (
    ARRAY,
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    any_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from services.cli.postgres import EmbeddedPostgres
from services.kernel.db.database import Database
from services.kernel.db.statement import NoParameters, NoRow, Statement
from services.kernel.ids import new_id

Canonical = NewType("Canonical", str)


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class ById:
    thing_id: UUID


@dataclass(frozen=True, slots=True)
class Id:
    id: UUID


@dataclass(frozen=True, slots=True)
class ByIds:
    thing_ids: list[UUID]


@dataclass(frozen=True, slots=True)
class Painted:
    color: Color | None
    name: Canonical


@dataclass(frozen=True, slots=True)
class Named:
    name: str


THINGS = Table(
    "things",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("name", Text),
    Column("color", Text),
    Column("number", Integer),
    Column("create_time", DateTime(timezone=True)),
)
BY_ID = THINGS.c.id == bindparam("thing_id")


@pytest.fixture
async def database(postgres: EmbeddedPostgres) -> AsyncIterator[Database]:
    pool = Database(postgres.url("postgres"), name="test", connections=2)
    await pool.open()
    yield pool
    await pool.close()


async def test_rows_come_as_their_class_with_its_enums(database: Database) -> None:
    statement = Statement(
        select(literal("red").label("color"), literal("x").label("name")), NoParameters, Painted
    )
    assert await database.first(statement, NoParameters()) == Painted(Color.RED, Canonical("x"))
    nothing = Statement(
        select(literal(None, type_=Text).label("color"), literal("x").label("name")),
        NoParameters,
        Painted,
    )
    assert await database.all(nothing, NoParameters()) == [Painted(None, Canonical("x"))]


async def test_parameters_go_to_their_places_beside_constants(database: Database) -> None:
    @dataclass(frozen=True, slots=True)
    class Three:
        third: int
        first: int

    @dataclass(frozen=True, slots=True)
    class Answer:
        sum: int

    hundreds = bindparam("first", type_=Integer) * literal(100)
    tens = literal(2) * literal(10)
    statement = Statement(
        select((hundreds + tens + bindparam("third", type_=Integer)).label("sum")), Three, Answer
    )
    assert await database.first(statement, Three(third=3, first=1)) == Answer(123)


async def test_a_list_is_one_parameter(database: Database) -> None:
    @dataclass(frozen=True, slots=True)
    class Found:
        found: bool

    thing = new_id()
    given = bindparam("thing_ids", type_=ARRAY(Uuid))
    statement = Statement(select((literal(thing) == any_(given)).label("found")), ByIds, Found)
    assert await database.first(statement, ByIds([new_id(), thing])) == Found(found=True)
    assert await database.first(statement, ByIds([])) == Found(found=False)


@dataclass(frozen=True, slots=True)
class Misspelled:
    thingid: UUID


@dataclass(frozen=True, slots=True)
class OneTooMany:
    thing_id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class OfAnotherType:
    thing_id: str


@pytest.mark.parametrize("parameters", [Misspelled, OneTooMany, OfAnotherType, NoParameters])
def test_parameters_must_be_those_of_the_statement(parameters: type[Any]) -> None:
    with pytest.raises(TypeError, match=parameters.__name__):
        Statement(select(THINGS.c.name).where(BY_ID), parameters, Named)


@dataclass(frozen=True, slots=True)
class MisspelledRow:
    nmae: str


@dataclass(frozen=True, slots=True)
class RowOfAnotherType:
    name: int


@dataclass(frozen=True, slots=True)
class Swapped:
    name: str
    id: UUID


@dataclass(frozen=True, slots=True)
class TrueOrFalse:
    number: bool


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (["name"], MisspelledRow),
        (["name"], RowOfAnotherType),
        (["name"], NoRow),
        (["id", "name"], Swapped),
        (["number"], TrueOrFalse),
        (["name", "id"], Named),
    ],
)
def test_a_row_must_have_the_columns_of_the_statement(columns: list[str], row: type[Any]) -> None:
    with pytest.raises(TypeError, match=row.__name__):
        Statement(select(*(THINGS.c[name] for name in columns)).where(BY_ID), ById, row)


def test_what_a_change_returns_is_held_against_its_row_too() -> None:
    @dataclass(frozen=True, slots=True)
    class Made:
        create_time: datetime

    change = update(THINGS).where(BY_ID).values(name="x")
    Statement(change.returning(THINGS.c.create_time), ById, Made)
    Statement(change, ById, NoRow)
    with pytest.raises(TypeError, match="NoRow"):
        Statement(change.returning(THINGS.c.create_time), ById, NoRow)
    with pytest.raises(TypeError, match="Made"):
        Statement(
            insert(THINGS).values(id=literal(new_id()), create_time=func.now()), NoParameters, Made
        )


def test_only_dataclasses_say_what_a_statement_takes_and_gives() -> None:
    class Plain:
        thing_id: UUID

    with pytest.raises(TypeError, match="must be a dataclass"):
        Statement(update(THINGS).where(BY_ID).values(name="x"), Plain, NoRow)


def test_items_of_a_list_have_the_type_of_the_array() -> None:
    @dataclass(frozen=True, slots=True)
    class Texts:
        thing_ids: list[str]

    given = bindparam("thing_ids", type_=ARRAY(Uuid))
    with pytest.raises(TypeError, match=r"Texts\.thing_ids\[\]"):
        Statement(update(THINGS).where(THINGS.c.id == any_(given)).values(name="x"), Texts, NoRow)


OTHERS = Table("others", MetaData(), Column("name", Text))


def test_a_sub_select_that_would_lose_a_table_is_refused() -> None:
    both = select(THINGS.c.id).where(THINGS.c.name == OTHERS.c.name)
    assert "FROM others" in str(delete(THINGS).where(THINGS.c.id.in_(both)))  # things are gone
    for change in (delete(THINGS), update(THINGS).values(name="x")):
        with pytest.raises(TypeError, match="a sub-select loses things"):
            Statement(change.where(THINGS.c.id.in_(both)), NoParameters, NoRow)
    with pytest.raises(TypeError, match="a sub-select loses things"):
        Statement(select(THINGS.c.id).where(both.exists()), NoParameters, Id)


def test_a_sub_select_may_say_that_it_runs_for_each_row() -> None:
    both = select(THINGS.c.id).where(THINGS.c.name == OTHERS.c.name)
    each = select(THINGS.c.id).where(both.correlate(THINGS).exists())
    assert b"FROM others" in Statement(each, NoParameters, Id).sql
    once = delete(THINGS).where(THINGS.c.id.in_(both.correlate(None)))
    assert b"FROM things, others" in Statement(once, NoParameters, NoRow).sql
