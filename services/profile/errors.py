"""Profile's own errors."""

from __future__ import annotations

from services.kernel.errors import FailedPrecondition, NotFound


class ProfileNotFound(NotFound):
    """The user has no profile."""

    reason = "PROFILE_NOT_FOUND"
    text = "There is no such profile."


class BrandNotFound(NotFound):
    """There is no brand with this id."""

    reason = "BRAND_NOT_FOUND"
    text = "There is no such brand."


class WalletNotFound(NotFound):
    """The user has no wallet, or it is closed."""

    reason = "WALLET_NOT_FOUND"
    text = "There is no such wallet."


class TransferNotFound(NotFound):
    """There is no transfer with this id."""

    reason = "TRANSFER_NOT_FOUND"
    text = "There is no such transfer."


class BalanceTooLow(FailedPrecondition):
    """The wallet holds too little; a refused transfer keeps this reason."""

    reason = "INSUFFICIENT_FUNDS"
    text = "The wallet does not hold enough money."
