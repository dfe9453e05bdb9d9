"""Writes docs/reliability.md."""

from __future__ import annotations

import platform
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tests.faults.mutants import MUTANTS
from tests.faults.rows import (
    OPEN,
    REQUIRED,
    ROOT,
    ROWS,
    excused,
    missed,
    named_tests,
    schedules_of,
)
from tests.model import report as model

TARGET = ROOT / "docs" / "reliability.md"
# The short form plays too little of these, so it leaves what the last long one has found.
KEPT_BY_SHORT = ("## Last run", "## Soak", "## A PostgreSQL that is killed", "## Failover")
Parts = dict[str, Any]

INTRODUCTION = """\
# Reliability: how the tests try to break the promises

*`make faults` writes this page; its introduction is in `tests/faults/report.py`.*

A request that changes several services takes effect everywhere or nowhere, and its caller can
learn which. This must hold at every moment at which something can fail, so it is tested at every
moment. The tests know each point that a request passes (an *edge*: a statement, a read or a
commit on its way to PostgreSQL, a request or reply on its way to a service, to the receiver of a
webhook or to NATS). They let each kind of fault happen at each edge, alone and in pairs.

**How.** Two replicas of each service run in one event loop: real use cases, stores, sagas,
engines and servicers, on a real PostgreSQL. For orders that a webhook, their buyer or NATS is told
of, the real workers number the events and read them. They send them to webhooks and write mails,
and two relays publish them. JetStream is a stand-in that keeps its rules about ids and places;
`tests/relay` kills the real one. The clock jumps when everybody waits, so leases, deadlines and
backoffs of hours cost nothing. Each service's database has a clock of its own,
which a schedule can move. A crash is a coroutine that never goes on, with its database sessions
ended, because a process that is killed runs no `finally`. After the faults everything heals, and
other replicas take over. Held messages are then delivered late and twice, and the client asks
again with the same key.

**What must be true after every commit.** An ACTIVE user has a profile, and a profile has a user.
Balances follow from transfers, and stock follows from orders. Sellers hold their shares of what
is paid, and no more. An order is PAID only if it was debited. A lease is taken only when the last
one is over. A saga keeps its decision, and a participant is told to compensate only after the turn
is committed. An event is delivered only once it is final, and marked as delivered only once it has
arrived. One process at a time posts to a webhook. A mail is written, and a message published, only
of an event that is final.

**What must be true in the end.**

- Every saga has ended.
- A client that was told *ok* finds everything, and one that was told *no* finds nothing. A client
  that was told neither learns it by the same key.
- A refusal that is kept stays, also when its reason has gone. After a refusal that follows from
  the request, the same request never succeeds.
- A method answers only the reasons that its proto documents, and never INTERNAL.
- The receiver of a webhook has got each event of its types that became final, with one id, and no
  other event. The events of a subject came in order. One came again only if something had failed.
  The rows of the deliveries agree with what has arrived.
- The buyer has got one mail of each event about the order that became final, and no other. The
  stream of NATS has each event of Commerce once, in the order of their numbers. A mail goes to the
  buyer alone. The cursor of each message leads its reader on from the next event.
- Nobody calls without end: of each method there are few calls at once, and few a second.
- Every row in every table that the request has made has a rule that allows it
  (`tests/faults/remains.py`): wallets, brands, codes, mail, keys, stock, transfers, sessions,
  barriers, sagas and deliveries. Of a deleted user only the rows are left that refuse latecomers.
- One small fault alone, such as a lost connection, a reply that vanishes, or clocks that differ
  by ten minutes, makes no request fail.
- The fault matrix below requires an outcome of many rows. A single fault that hits such a row
  must lead to it.

**What the schedules cannot see.** They have one PostgreSQL, so they know no replication. They
know no sockets, no TLS and no operating system; the tests of real processes and the soak do.
Their clocks differ by ten minutes at most. `tests/model` visits the orders of messages that no
schedule reaches.

**That the tests can fail** is shown by protocols that are known to be wrong. Each must be caught;
see below.

Play one schedule with `python -m tests.faults replay 'register a1.T1.commit.sent:lost'`; a
failing test prints that line. `python -m tests.faults trace register` names the edges.
`make faults FAULTS=soak` runs the ten minutes of real processes alone.

| fault | what happens |
|---|---|
| crash | The process is killed, its sessions end, and it never comes back |
| pause, nap | SIGSTOP for 20 or 4.5 seconds; PostgreSQL ends transactions that idle |
| stop | SIGTERM |
| cut | The connection breaks before a statement, a read or a COMMIT |
| lost | The connection breaks after the server has carried out the COMMIT |
| failover | As lost, and a standby takes over that never got the commit |
| readonly | The database fails over and refuses writes |
| overlap, slow | A COMMIT takes until somebody waits for its locks |
| refuse, lose | The connection is refused; the request or the reply vanishes |
| reset, garble | The connection breaks before the reply; a proxy answers INTERNAL |
| twice | The request arrives twice at once |
| again, delay | The request arrives again in the end, or only then |
| down | A service, the receiver of a webhook or NATS answers nobody for 20 seconds |
| leave | The client hangs up |
| jump | 11 seconds pass, so leases run out |
| ahead, behind | The clock of one service's database moves by ten minutes |
| age, sweep | The services' own clean-ups run: after eight days, or at once |
"""


def write(parts: Parts, *, form: str, seconds: float) -> bool:
    """Write the report; return whether every row is hit and kept, and every mutant killed."""
    scenarios = _by_scenario(parts)
    hits = [f"{name} {hit}" for name, tally in scenarios.items() for hit in sorted(tally["hit"])]
    killed = {part["name"]: part for name, part in parts.items() if name.startswith("mutant-")}
    tests = named_tests()
    missing = [row for row in ROWS if _is_missing(row, hits, tests)]
    living = [name for name in MUTANTS if name not in killed]
    outcomes = {
        hit: each for tally in scenarios.values() for hit, each in tally["outcomes"].items()
    }
    wrong = missed(outcomes)
    run = (
        f"{datetime.now(UTC).date().isoformat()}, {form} form, seed {_seed(parts)},"
        f" {seconds:.0f} seconds on {platform.machine()}"
        f" with Python {platform.python_version()}."
    )
    lines = [
        INTRODUCTION,
        "## Last run",
        "",
        run,
        "",
        *_schedules(scenarios),
        "",
        "## Pitfalls",
        "",
        *_mutants(killed, living),
        "",
        *_others(parts),
        *model.section(),
        "## The fault matrix",
        "",
        f"Found by: {run}",
        "",
        *_rows(hits, tests, wrong),
    ]
    for name, rows in (("Not hit", missing), ("Outcome missed", wrong)):
        if rows:
            lines += ["", f"**{name}: {', '.join(rows)}.**"]
    page = "\n".join(lines) + "\n"
    if form == "short":
        page = _with_long_sections(page, TARGET.read_text())
    TARGET.write_text(page)
    print(f"wrote {TARGET.relative_to(ROOT)}")
    told = {"rows not hit": missing, "rows missed": wrong, "mutants that live": living}
    for name, problems in told.items():
        if problems:
            print(f"{name}: {', '.join(problems)}")
    return not missing and not living and wrong.keys() <= OPEN


def _with_long_sections(page: str, old: str) -> str:
    """Return a page of the short form with what the last long one has found."""
    found = {name: text for name, text in _sections(old).items() if name in KEPT_BY_SHORT}
    return "\n\n".join(text.strip() for text in (_sections(page) | found).values()) + "\n"


def _sections(page: str) -> dict[str, str]:
    """Split a page at its headings of the second level; what stands before them has none."""
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    return {part.partition("\n")[0] if part.startswith("## ") else "": part for part in parts}


def _by_scenario(parts: Parts) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for name, part in parts.items():
        if not name.startswith("part-"):
            continue
        tally = merged.setdefault(
            part["scenario"], defaultdict(int, hit=set(), edges=set(), outcomes={})
        )
        for number in ("singles", "pairs", "triples", "seconds"):
            tally[number] += part[number]
        for names in ("hit", "edges"):
            tally[names] |= set(part[names])
        tally["outcomes"] |= part["outcomes"]
        tally["states"] = tally["states"] or set()
        tally["states"] |= set(part["states"])
        tally["broken"] += len(part["broken"])
    return merged


def _seed(parts: Parts) -> int:
    return next((part["seed"] for part in parts.values() if "seed" in part), 0)


def _schedules(scenarios: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield "| scenario | edges | single faults | pairs | triples | distinct runs | broken promises |"
    yield "|---|---|---|---|---|---|---|"
    totals: dict[str, int] = defaultdict(int)
    for name, tally in scenarios.items():
        row = {
            "edges": len(tally["edges"]),
            "singles": tally["singles"],
            "pairs": tally["pairs"],
            "triples": tally["triples"],
            "states": len(tally["states"]),
            "broken": tally["broken"],
        }
        for key, number in row.items():
            totals[key] += number
        yield f"| {name} | {' | '.join(str(number) for number in row.values())} |"
    yield f"| **all** | {' | '.join(f'**{number}**' for number in totals.values())} |"


def _mutants(killed: dict[str, Any], living: list[str]) -> Iterator[str]:
    yield f"{len(killed)} of {len(MUTANTS)} wrong protocols are caught"
    yield "(P12, no cap on presumed aborts, by the test of the reconciler)."
    yield ""
    yield "| | a protocol that | is caught by | because |"
    yield "|---|---|---|---|"
    for mutant in MUTANTS.values():
        schedule = f"`{mutant.schedule}`" if mutant.schedule else "no fault at all"
        because = mutant.expected if mutant.name not in living else "**not caught**"
        yield f"| {mutant.name} | {mutant.text} | {mutant.scenario}: {schedule} | {because} |"


def _others(parts: Parts) -> Iterator[str]:
    if "soak" in parts:
        soak = parts["soak"]
        yield "## Soak"
        yield ""
        yield (
            f"On {soak['date']}, {soak['clients']} clients sent {soak['requests']} requests to"
            f" real processes in {soak['seconds']:.0f} seconds, with {soak['faults']} faults."
            f" {soak['ok']} were answered ok, {soak['refused']} were refused and"
            f" {soak['unknown']} are in doubt."
            f" {soak['register']} accounts were made and {soak['delete'] + soak['leave']} deleted,"
            f" {soak['order']} orders were placed, {soak['cancel']} cancelled, {soak['part']}"
            f" cancelled in part and {soak['ship']} shipped, and parts of {soak['return']} came"
            " back. In the end every invariant held, and money and stock added up to the unit. The"
            " memory of a replica that lived through all of it,"
            f" after a third of the time and in the end, in MiB: {soak['memory']}. Tasks, sessions"
            " and sockets were as many as before the first request, apart from bounded ones."
        )
        yield ""
    if "killed-server" in parts:
        yield "## A PostgreSQL that is killed"
        yield ""
        yield (
            f"A PostgreSQL over TCP was killed and started again {parts['killed-server']['kills']}"
            " times under load. Requests, recovery, mail and clean-up went on each time, nothing"
            " that was acknowledged was lost, and everything stopped in order."
        )
        yield ""
    if "failover" in parts:
        yield "## Failover"
        yield ""
        yield (
            "A cluster of three (Patroni) under load of registrations and orders. *In doubt* counts"
            " answers that did not come; each was asked for again by its key."
        )
        yield ""
        yield (
            "| fault | registrations, orders acknowledged | lost | in doubt | no success"
            " | `reconcile` finds |"
        )
        yield "|---|---|---|---|---|---|"
        for each in parts["failover"]:
            yield (
                f"| {each['fault']} | {_pair(each['acknowledged'])} | {_pair(each['lost'])}"
                f" | {each['in_doubt']} | {each['pause_seconds']:.1f} s | {each['findings']} |"
            )
        yield ""


def _pair(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _rows(
    hits: list[str], tests: dict[str, list[str]], wrong: dict[str, list[str]]
) -> Iterator[str]:
    yield "A row requires an outcome of a schedule with this fault alone: *done* or *undone*."
    yield "In the other rows both are right. A request that a participant refuses is always undone."
    yield ""
    yield "| row | what | requires | schedules | tests |"
    yield "|---|---|---|---|---|"
    for row, (text, _) in ROWS.items():
        found = schedules_of(row, hits)
        shown = f"{len(found)}, such as `{found[0]}`" if found else excused(row)
        named = "; ".join(f"`{test.rpartition('::')[2]}`" for test in tests.get(row, [])[:2])
        outcome = REQUIRED.get(row, "") + (": **missed**" if row in wrong else "")
        yield f"| {row} | {text} | {outcome} | {shown} | {named} |"


def _is_missing(row: str, hits: list[str], tests: dict[str, list[str]]) -> bool:
    return not excused(row) and not schedules_of(row, hits) and not tests.get(row)
