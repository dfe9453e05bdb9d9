"""Auth's errors."""

from __future__ import annotations

from services.kernel.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)


class EmailTaken(AlreadyExists):
    """An account has this e-mail address."""

    reason = "EMAIL_TAKEN"
    text = "An account with this e-mail address exists. Log in, or use another address."


class RegistrationInProgress(Aborted):
    """The same e-mail address is being registered, or that is being undone."""

    reason = "REGISTRATION_IN_PROGRESS"
    text = "This e-mail address is being registered. Try again in a moment."

    def __init__(self) -> None:
        """Ask to wait a second."""
        super().__init__(retry_after_seconds=1.0)


class RegistrationUnavailable(Unavailable):
    """Profile could not be asked, or did not answer in time."""

    reason = "PROFILE_UNAVAILABLE"
    text = "Registration is not possible right now; nothing was registered. Try again."

    def __init__(self) -> None:
        """Ask to wait a second."""
        super().__init__(retry_after_seconds=1.0)


class UserNotFound(NotFound):
    """There is no such user."""

    reason = "USER_NOT_FOUND"
    text = "There is no such user."


class InvalidCredentials(Unauthenticated):
    """The password is wrong, or there is no such account: one answer for both."""

    reason = "INVALID_CREDENTIALS"
    text = "The e-mail address or the password is wrong."


class AccountDisabled(PermissionDenied):
    """An administrator has disabled the account; told only after the right password."""

    reason = "ACCOUNT_DISABLED"
    text = "This account is disabled. Ask an administrator."


class OtpInvalid(InvalidArgument):
    """The code is wrong, or there is no such flow."""

    reason = "OTP_INVALID"
    text = "The code is wrong, or a newer one was sent."


class OtpExpired(FailedPrecondition):
    """The code was not used in time."""

    reason = "OTP_EXPIRED"
    text = "The code has expired. Ask for a new one."


class OtpExhausted(ResourceExhausted):
    """The tries of a code are used up."""

    reason = "OTP_EXHAUSTED"
    text = "Too many wrong codes. Ask for a new one."


class LastAdministrator(FailedPrecondition):
    """Without this one there would be no administrator."""

    reason = "LAST_ADMINISTRATOR"
    text = "The last administrator can't be disabled, deleted or demoted."
