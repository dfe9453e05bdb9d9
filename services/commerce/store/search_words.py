"""The words of the catalog's names, by which a search that finds nothing suggests others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Integer,
    Text,
    bindparam,
    case,
    cast,
    column,
    delete,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import insert

from services.commerce.model import SEARCH_WORDS
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoParameters, NoRow, Statement

ADVISORY_LOCK: Final = 0x10C_57EA
SUGGESTIONS_MAX: Final = 3
WORDS_MAX: Final = 8
# Bounds of one collection: the newest products, and the words that most of them have.
_COLLECTED_MAX: Final = 50_000
_LENGTH_MAX: Final = 50
_NAMES: Final = """'SELECT words FROM products WHERE delete_time IS NULL
 ORDER BY create_time DESC, id DESC LIMIT 200000'"""


@dataclass(frozen=True, slots=True)
class IsLocked:
    """Whether this transaction has the lock."""

    is_locked: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """The words of a search."""

    words: str


@dataclass(frozen=True, slots=True)
class NearWord:
    """A word of a search, and a word of the catalog like it.

    Attributes:
        near: None: the word begins one of the catalog, or nothing is like it.
    """

    word: str
    is_known: bool
    near: str | None


_LOCK = Statement(
    select(func.pg_try_advisory_xact_lock(ADVISORY_LOCK, type_=Boolean).label("is_locked")),
    NoParameters,
    IsLocked,
)
_stat = func.ts_stat(literal_column(_NAMES), literal_column("'a'")).table_valued(
    column("word", Text), column("ndoc", Integer), name="stat"
)
_found = (
    select(_stat.c.word, _stat.c.ndoc.label("products"))
    .where(func.length(_stat.c.word).between(2, _LENGTH_MAX))
    .order_by(_stat.c.ndoc.desc())
    .limit(_COLLECTED_MAX)
    .cte("found")
    .prefix_with("MATERIALIZED")
)
_gone = delete(SEARCH_WORDS).where(SEARCH_WORDS.c.word.not_in(select(_found.c.word))).cte("gone")
_given = insert(SEARCH_WORDS).from_select(
    ["word", "products"], select(_found.c.word, _found.c.products)
)
_COLLECT = Statement(
    _given.on_conflict_do_update(
        index_elements=["word"],
        set_={"products": _given.excluded.products},
        where=SEARCH_WORDS.c.products != _given.excluded.products,
    ).add_cte(_gone),
    NoParameters,
    NoRow,
)

_listed = (
    func.string_to_table(
        func.words_of(cast(bindparam("words", type_=Text), Text)), literal_column("' '")
    )
    .table_valued(column("word", Text), with_ordinality="place", name="listed")
    .render_derived()
)
_asked = (
    select(_listed.c.word, cast(_listed.c.place, BigInteger).label("place"))
    .where(_listed.c.word != literal_column("''"))
    .order_by(_listed.c.place)
    .limit(literal_column(str(WORDS_MAX)))
    .subquery("asked")
)
_word = _asked.c.word.collate("C")
_is_known = (
    select(SEARCH_WORDS.c.word)
    .where(
        SEARCH_WORDS.c.word >= _word,
        SEARCH_WORDS.c.word < _word + func.chr(literal_column("1114111")),
    )
    .correlate(_asked)
    .exists()
)
_likeness: Any = func.public.similarity(SEARCH_WORDS.c.word, _asked.c.word)
_near = (
    select(SEARCH_WORDS.c.word, SEARCH_WORDS.c.products, _likeness.label("likeness"))
    .where(SEARCH_WORDS.c.word.op("OPERATOR(public.%)")(_asked.c.word))
    .order_by(_likeness.desc(), SEARCH_WORDS.c.products.desc(), SEARCH_WORDS.c.word)
    .limit(literal_column(str(SUGGESTIONS_MAX)))
    .correlate(_asked)
    .lateral("near")
)
_NEAR = Statement(
    select(
        _asked.c.word,
        _is_known.label("is_known"),
        case((_is_known, None), else_=_near.c.word).label("near"),
    )
    .select_from(_asked.outerjoin(_near, true()))
    .order_by(_asked.c.place, _near.c.likeness.desc(), _near.c.products.desc(), _near.c.word),
    Asked,
    NearWord,
    is_costly=True,
)


async def collect(tx: Transaction) -> bool:
    """Collect the words of the catalog; return False if another replica is at it."""
    (lock,) = await tx.all(_LOCK, NoParameters())
    if lock.is_locked:
        await tx.execute(_COLLECT, NoParameters())
    return lock.is_locked


async def suggest(reader: Reader, words: str) -> list[str]:
    """Return the likeliest searches in place of one that finds nothing, the best first.

    A word that no product has gives way to one like it, or is left out.
    """
    choices: dict[str, list[str]] = {}
    is_right = True
    for row in await reader.all(_NEAR, Asked(words)):
        is_right = is_right and row.is_known
        near = row.word if row.is_known else row.near
        choices.setdefault(row.word, [])
        if near is not None and near not in choices[row.word]:
            choices[row.word].append(near)
    return [] if is_right else _combined([each for each in choices.values() if each])


def _combined(choices: Sequence[Sequence[str]]) -> list[str]:
    """Put the best choices for all words together, then the second ones, and so on."""
    rounds = max(map(len, choices), default=0)
    combined = (
        " ".join(each[min(number, len(each) - 1)] for each in choices) for number in range(rounds)
    )
    return list(dict.fromkeys(combined))
