"""What a user gives up with the account: the money of the wallet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import pydantic

from services.auth.errors import BalanceLeft
from services.common.currencies import digits_of
from services.kernel.sagas.model import STORED

NANO_DIGITS = 9


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STORED)
class Amount:
    """An amount of money, as a saga keeps it."""

    currency: str
    units: int
    nanos: int

    def __bool__(self) -> bool:
        """Whether it is above zero."""
        return bool(self.units or self.nanos)

    @property
    def text(self) -> str:
        """The amount for people, such as 12.30."""
        places = digits_of(self.currency) or 0
        decimals = f"{self.nanos:0{NANO_DIGITS}d}".rstrip("0").ljust(places, "0")
        return f"{self.units}.{decimals}" if decimals else f"{self.units}"


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a wallet holds.

    Attributes:
        pending: The shares of sales that are not shipped yet.
    """

    balance: Amount
    pending: Amount

    def ensure_nothing(self) -> None:
        """Make sure that there is nothing to give up.

        Raises:
            BalanceLeft: There is.
        """
        if self.balance or self.pending:
            raise BalanceLeft(
                metadata={
                    "balance": self.balance.text,
                    "pending": self.pending.text,
                    "currency": self.balance.currency,
                }
            )


AskHoldings = Callable[[UUID], Awaitable[Holdings]]
