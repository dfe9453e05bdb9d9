"""The rows of the fault matrix, and where each of them is hit.

Schedules whose faults match its pattern hit a row, or tests that name it in brackets do. The
pattern is matched with `scenario edge:fault`. To be hit is not enough: a row also requires an
outcome of the request.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

TESTS = Path(__file__).parent.parent
NAMED = re.compile(r"\[((?:[RCPNIE]\d+[ ,]*)+)\]")
ROOT = TESTS.parent

LATER = "needs standbys: `make failover`, and its short form among the tests"
GONE = "belongs to remote stock, which does not exist here"

ROWS: dict[str, tuple[str, str]] = {
    "R1": ("too little time on receipt: no write", ""),
    "R2": ("crash, or the client gone, before T1", r"Register\.arrive:crash"),
    "R3": ("the address belongs to an ACTIVE user", ""),
    "R4": ("the address belongs to a PENDING user", ""),
    "R5": ("the same key while it runs", r"register client\.Register\.request:twice"),
    "R6": ("the same key, another request", ""),
    "R7": ("the same key afterwards (asked after every schedule)", r"register a1.*:crash"),
    "R8": ("T1: the connection is cut before COMMIT", r"register a1\.T1\.\S*:cut"),
    "R9": ("T1: the answer to COMMIT is lost", r"register a1\.T1\.commit\.sent:lost"),
    "R10": ("crash right after T1", r"register a1\.T1\.commit\.acked:crash"),
    "R11": ("the client leaves during T1", r"register a1\.T1\.\S*:leave"),
    "R12": ("the participant refuses connections", r"CreateProfile\.request:(refuse|down)"),
    "R13": ("A: the request is lost", r"CreateProfile\.request:lose"),
    "R14": ("A is rejected", r"register-refused "),
    "R15": ("PA: error of the database", r"p1\.CreateProfile\.statement\S*:(readonly|cut)"),
    "R16": ("PA: the answer to COMMIT is lost", r"p1\.CreateProfile\.commit\.sent:lost"),
    "R17": (
        "crash of the participant after PA",
        r"p1\.CreateProfile\.(commit\.acked|handled):crash",
    ),
    "R18": ("the deadline of A passes inside PA", r"p1\.CreateProfile\.statement\S*:nap"),
    "R19": ("PA is always slower than the deadline", r"p1\.CreateProfile\.\S*:pause"),
    "R20": ("A: the reply is lost", r"CreateProfile\.reply:lose"),
    "R21": ("A twice at the same time", r"CreateProfile\.(request:twice|commit\.sent:overlap)"),
    "R22": ("A again after DONE", r"register a1\.CreateProfile\.request:again"),
    "R23": ("A after PC", r"register-refused a1\.CreateProfile\.request:again"),
    "R24": ("C while PA is uncommitted", r"p1\.CreateProfile\.commit\.sent:slow"),
    "R25": ("C before A", r"CreateProfile\.request:delay"),
    "R26": ("A later than its tombstone is kept", r"register\S* \S*:age"),
    "R27": ("crash before T2", r"register a1\.(CreateProfile\.reply|T2\.statement#1):crash"),
    "R28": ("T2 finds that somebody has turned back", r"register a1\.T2\.statement#1:pause"),
    "R29": ("T2: the answer to COMMIT is lost", r"register a1\.T2\.commit\.sent:lost"),
    "R30": ("crash after T2, before the reply", r"register a1\.T2\.commit\.acked:crash"),
    "R31": ("the client has gone when the reply comes", r"register client\.Register\.reply:lose"),
    "R32": ("T2 and T3 by two coordinators", r"register a1\.T2\.\S*:pause"),
    "R33": ("T3: the answer to COMMIT is lost", r"T3\.commit\.sent:lost"),
    "R34": ("crash after T3", r"T3\.commit\.acked:crash"),
    "R35": (
        "the deadline passes while nobody drives",
        r"register a1\.T1\.commit\.acked:jump",
    ),
    "R36": ("failover loses T1 whose answer was lost", r"T1\.commit\.sent:failover"),
    "R37": ("failover of Auth's database loses T1", "-"),
    "R38": ("failover of Auth's database loses T2", "-"),
    "R39": ("failover of Profile's database loses PA", "-"),
    "R40": (
        "C is lost, doubled, or its participant crashes",
        r"CancelProfile\.\S*:(lose|twice|crash)",
    ),
    "R41": ("PC: down for long", r"CancelProfile\.request:down"),
    "R42": ("PC: the answer to COMMIT is lost", r"CancelProfile\.commit\.sent:lost"),
    "R43": ("crash before T4", r"CancelProfile\.reply:crash"),
    "R44": ("T4 finds no user", ""),
    "R45": ("T4: the answer to COMMIT is lost", r"T4\.commit\.sent:lost"),
    "R46": ("the address is registered again after T4", r"register-refused "),
    "R47": ("two replicas claim at once", ""),
    "R48": ("a lease runs out while its holder lives", r"a1\.\S*:jump"),
    "R49": ("a zombie before A", r"a1\.CreateProfile\.request:pause"),
    "R50": ("a zombie before T2", r"a1\.T2\.statement#1:pause"),
    "R51": ("a zombie before T4", r"a1\.T4\.statement#1:pause"),
    "R52": ("a zombie inside PA", r"p1\.CreateProfile\.statement\S*:pause"),
    "R53": ("a poisoned saga", ""),
    "R54": ("a saga of a newer kind or version", ""),
    "R55": ("clocks jump", r":jump"),
    "R56": ("SIGTERM with work in flight", r"\.T\d\.\S*:stop"),
    "R57": ("T2: no connection, or the database down", r"T2\.statement\S*:(readonly|cut)"),
    "R58": ("many sagas are pending", ""),
    "R59": ("half-open connection to PostgreSQL", ""),
    "R60": ("CancelledError inside a handler", ""),
    "C1": ("double click", r"checkout client\.PlaceOrder\.request:twice"),
    "C2": ("price or stock has changed", ""),
    "C3": ("T1: lost answer or crash", r"checkout c1\.T1\.commit\.(sent:lost|acked:crash)"),
    "C4": (GONE, "-"),
    "C5": ("all lines or none", r"checkout c1\.T1\.statement#\d:(crash|cut)"),
    "C6": (GONE, "-"),
    "C7": (GONE, "-"),
    "C8": (GONE, "-"),
    "C9": ("crash between stock and debit", r"checkout c1\.T1\.commit\.acked:crash"),
    "C10": (GONE, "-"),
    "C11": ("insufficient funds", r"checkout-refused "),
    "C12": ("debited, and the reply is lost", r"checkout c1\.DebitWallet\.reply:lose"),
    "C13": ("debited, and the deadline passes", r"checkout c1\.DebitWallet\.reply:(crash|pause)"),
    "C14": ("the debit arrives after its void", r"checkout\S* c1\.DebitWallet\.request:delay"),
    "C15": ("the debit twice", r"checkout c1\.DebitWallet\.request:(twice|again)"),
    "C16": ("two checkouts for the last money", ""),
    "C17": ("the wallet is closed", ""),
    "C18": (
        "the debit is done, and the answer is INTERNAL",
        r"checkout c1\.DebitWallet\.reply:garble",
    ),
    "C19": ("crash after the debit, before T2", r"checkout c1\.T2\.statement#1:crash"),
    "C20": ("T2 loses to T3", r"checkout c1\.T2\.statement#1:pause"),
    "C21": ("T2: the answer to COMMIT is lost", r"checkout c1\.T2\.commit\.sent:lost"),
    "C22": (GONE, "-"),
    "C23": ("a paid order is never cancelled by a guess", ""),
    "C24": ("the refund cannot be made for long", r"(VoidTransfer|RefundWallet)\.request:down"),
    "C25": ("the refund twice", r"(VoidTransfer|RefundWallet)\.request:(twice|again)"),
    "C26": ("a refund to a wallet that was closed", ""),
    "C27": ("a void without a debit", r"checkout-refused "),
    "C28": (GONE, "-"),
    "C29": (GONE, "-"),
    "C30": ("T4: the answer to COMMIT is lost", r"checkout-refused c1\.T4\.commit\.sent:lost"),
    "C31": ("the client leaves after the debit", r"checkout c1\.T2\.\S*:leave"),
    "C32": ("a new key is a new purchase", ""),
    "C33": ("a zombie before the debit", r"checkout c1\.DebitWallet\.request:pause"),
    "C34": ("a void of a saga that is DONE is found", ""),
    "C35": ("overflow and rounding", ""),
    "C36": ("failover of any database", "-"),
    "C37": ("a PENDING user cannot check out", ""),
    "C38": ("deletion during checkout", r"delete-refused "),
    "C39": ("many checkouts of one product or wallet", ""),
    "C40": ("barriers are cleaned up too early", r":age"),
    "C41": ("a part or a return: crash after T1", r"(cancel-part|return) c1\.T1\.\S*acked:crash"),
    "C42": ("its refund is made, and the reply is lost", r"(part|return) c1\.Refund\S*reply:lose"),
    "C43": ("its refund comes twice", r"(part|return) c1\.RefundWallet\.request:(twice|again)"),
    "C44": ("its T2: the answer to COMMIT is lost", r"(part|return) c1\.T2\.commit\.sent:lost"),
    "C45": ("its refund cannot be made for long", r"(part|return) c1\.RefundWallet\.request:down"),
    "C46": ("an order is cancelled while it is shipped", ""),
    "C47": ("two refunds of one order", ""),
    "C48": ("a shipment: crash after its commit", r"fulfil c1\.FulfilOrder\.commit\.acked:crash"),
    "C49": ("the share is released, and the reply is lost", r"fulfil .*ReleaseSales\.reply:lose"),
    "C50": ("the release comes twice", r"fulfil .*ReleaseSales\.request:(twice|again)"),
    "C51": ("the release cannot be made for long", r"fulfil .*ReleaseSales\.request:down"),
    "C52": ("a seller has spent the share of what comes back", r"return-refused "),
    "C53": ("such a return: lost answers", r"return-refused c1\.T[34]\.commit\.sent:lost"),
    "C55": (
        "an account with money is deleted: crash after T1",
        r"delete-rich a1\.T1\.\S*acked:crash",
    ),
    "C56": ("its wallet is closed twice", r"delete-rich a1\.ForgetProfile\.request:(twice|again)"),
    "C57": ("nobody tells what its wallet holds", r"delete\S* a1\.GetHoldings\.request:down"),
    "C54": ("a seller is deleted while shares move", r"delete-of-seller "),
    "C58": ("a deletion with many orders: crash between two of its commits", ""),
    "E1": ("a mail about an order: crash after its commit", r"mails a2\.order\S*acked:crash"),
    "E2": ("its answer to COMMIT is lost", r"mails a2\.order-mails\S*commit\.sent:lost"),
    "E3": ("a zombie before its mail", r"mails a2\.order-mails\S*statement#1:pause"),
    "E4": ("the events cannot be read for long", r"mails a2\.ListEvents\.request:down"),
    "E5": ("they are read, and the reply is lost", r"mails a2\.ListEvents\.reply:lose"),
    "E6": ("a post to a webhook has arrived, and the reply is lost", r"a2\.post\.reply:lose"),
    "E7": ("crash between the post and its mark", r"webhooks a2\.post\.reply:crash"),
    "E8": ("the receiver of a webhook is down for long", r"webhooks a2\.post\.request:down"),
    "E9": ("the relay: crash between a message and its answer", r"r2\.publish\.reply:crash"),
    "E10": ("a message is lost on its way", r"relay r2\.publish\.request:(lose|refuse)"),
    "E11": ("a message comes twice or late", r"relay r2\.publish\.request:(twice|again|delay)"),
    "E12": ("the broker is down for long", r"relay r2\.publish\.request:down"),
    "E13": ("a zombie before a message", r"relay r2\.publish\.request:pause"),
    "E14": ("crash of the service that the relay watches", r"relay c1\.WatchEvents\.page:crash"),
}

# The outcome that a row requires of a schedule with one fault, once all is at rest. For a row
# that is not here both outcomes are right, and only halves are wrong. A request that a
# participant refuses is undone in every row.
DONE, UNDONE = "done", "undone"
_DONE = """R5 R8 R9 R10 R11 R13 R15 R16 R17 R20 R21 R22 R25 R27 R29 R30 R31 R56 R57
  C1 C3 C9 C12 C14 C15 C18 C19 C21 C24 C25 C31 C41 C42 C43 C44 C45
  C48 C49 C50 C51 C55 C56 E1 E2 E3 E4 E5 E6 E7 E8 E9 E10 E11 E12 E13 E14"""
_UNDONE = "R2 R14 R23 R24 R33 R34 R35 R40 R41 R42 R43 R45 R46 C11 C27 C30 C52 C53"
REQUIRED = dict.fromkeys(_DONE.split(), DONE) | dict.fromkeys(_UNDONE.split(), UNDONE)
REFUSED = re.compile(r"^\S+-refused ")
# Rows whose required outcome is not reached yet.
OPEN: frozenset[str] = frozenset()


def required(row: str, hit: str) -> str:
    """Return the outcome that a row requires of a fault, or nothing where both are right."""
    outcome = REQUIRED.get(row, "")
    return UNDONE if outcome and REFUSED.match(hit) else outcome


def missed(outcomes: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the rows whose required outcome was missed, and by which faults.

    Args:
        outcomes: The outcome of each single fault that happened, as `scenario edge:fault`.
    """
    found = {}
    for row in REQUIRED:
        hits = schedules_of(row, outcomes)
        wrong = [hit for hit in hits if outcomes[hit] != required(row, hit)]
        if wrong:
            found[row] = wrong
    return found


# Rows whose tests name them in words only.
ELSEWHERE = {
    "R60": "tests/kernel/test_interceptors.py::"
    "test_a_cancellation_from_inside_is_answered_at_once_R60",
    "C26": "tests/profile/test_wallets.py::"
    "test_a_refund_for_a_wallet_that_is_gone_goes_to_suspense",
}


def excused(row: str) -> str:
    """Return why a row need not be hit; empty when it must be."""
    text, pattern = ROWS[row]
    if pattern != "-":
        return ""
    return GONE if text == GONE else LATER


def schedules_of(row: str, hits: Iterable[str]) -> list[str]:
    """Return the faults, as `scenario edge:fault`, that hit a row."""
    pattern = ROWS[row][1]
    if pattern in ("", "-"):
        return []
    return [hit for hit in hits if re.search(pattern, hit)]


def named_tests() -> dict[str, list[str]]:
    """Return the tests that name each row or pitfall."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for name, text in _functions(path):
            for group in NAMED.findall(text):
                for row in re.findall(r"[RCPNE]\d+", group):
                    found[row].append(f"{path.relative_to(ROOT)}::{name}")
    for row, test in ELSEWHERE.items():
        found[row].append(test)
    return {row: sorted(set(tests)) for row, tests in found.items()}


def _functions(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
            "test_"
        ):
            yield node.name, ast.get_docstring(node) or ""
