"""What can go wrong at Profile, beyond what the kernel knows."""

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
    """The user has no wallet, or not any more."""

    reason = "WALLET_NOT_FOUND"
    text = "There is no such wallet."


class TransferNotFound(NotFound):
    """There is no transfer with this id."""

    reason = "TRANSFER_NOT_FOUND"
    text = "There is no such transfer."


class BalanceTooLow(FailedPrecondition):
    """The wallet does not hold enough; kept as the reason of a refused transfer."""

    reason = "INSUFFICIENT_FUNDS"
    text = "The wallet does not hold enough money."
