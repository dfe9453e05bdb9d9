"""Errors that several services raise."""

from __future__ import annotations

from services.kernel.errors import AlreadyExists, Unavailable


class AuthUnavailable(Unavailable):
    """Auth did not answer a question about a token or a session."""

    reason = "AUTH_UNAVAILABLE"
    text = "The session cannot be checked right now. Try again."


class PhoneTaken(AlreadyExists):
    """Another profile has this phone number."""

    reason = "PHONE_TAKEN"
    text = "This phone number belongs to another account. Use another number."
