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
    """Another account has this e-mail address."""

    reason = "EMAIL_TAKEN"
    text = "An account with this e-mail address exists. Log in, or use another one."


class RegistrationInProgress(Aborted):
    """A registration of this e-mail address has not ended, or is being undone."""

    reason = "REGISTRATION_IN_PROGRESS"
    text = "This e-mail address is being registered. Try again in a moment."
    usual_wait_seconds = 1.0


class RegistrationUnavailable(Unavailable):
    """Profile did not answer in time."""

    reason = "PROFILE_UNAVAILABLE"
    text = "Registration is not possible right now; nothing was registered. Try again."
    usual_wait_seconds = 1.0


class UserNotFound(NotFound):
    """There is no such user."""

    reason = "USER_NOT_FOUND"
    text = "There is no such user."


class InvalidCredentials(Unauthenticated):
    """The password is wrong, or there is no such account: one answer for both."""

    reason = "INVALID_CREDENTIALS"
    text = "The e-mail address or the password is wrong."


class AccountDisabled(PermissionDenied):
    """An administrator has disabled the account; only the right password reveals it."""

    reason = "ACCOUNT_DISABLED"
    text = "This account is disabled. Ask an administrator."


class ApiKeyNotFound(NotFound):
    """The user has no such API key."""

    reason = "API_KEY_NOT_FOUND"
    text = "There is no such API key. It may have ended."


class InvitationNotFound(NotFound):
    """There is no such invitation, or it has ended: one answer for all causes."""

    reason = "INVITATION_NOT_FOUND"
    text = "There is no such invitation, or it has ended. Ask for a new one."


class WebhookNotFound(NotFound):
    """There is no such webhook."""

    reason = "WEBHOOK_NOT_FOUND"
    text = "There is no such webhook."


class WebhookDeliveryNotFound(NotFound):
    """The webhook has no such delivery, or no longer."""

    reason = "WEBHOOK_DELIVERY_NOT_FOUND"
    text = "The webhook has no such delivery. It may be too old."


class ReauthenticationRequired(PermissionDenied):
    """The user proved the password too long ago for this request."""

    reason = "REAUTHENTICATION_REQUIRED"
    text = "This needs the password again. Call Reauthenticate, then repeat the request."


class SessionNotFound(NotFound):
    """The user has no such session."""

    reason = "SESSION_NOT_FOUND"
    text = "There is no such session. It may have ended."


class OtpInvalid(InvalidArgument):
    """The code is wrong, or there is no such flow."""

    reason = "OTP_INVALID"
    text = "The code is wrong, or it belongs to another request. Read its mail again."


class OtpExpired(FailedPrecondition):
    """The time of the code is over."""

    reason = "OTP_EXPIRED"
    text = "The code has expired. Ask for a new one."


class OtpExhausted(ResourceExhausted):
    """The code was tried too often."""

    reason = "OTP_EXHAUSTED"
    text = "Too many wrong codes. Ask for a new one."


class DeletionUnavailable(Unavailable):
    """Profile did not tell in time what the wallet holds."""

    reason = "PROFILE_UNAVAILABLE"
    text = "Deletion is not possible right now; nothing was erased. Try again."
    usual_wait_seconds = 1.0


class BalanceLeft(FailedPrecondition):
    """The wallet of an account that is to be deleted holds money, or waits for some."""

    reason = "BALANCE_LEFT"
    text = "The wallet holds money, or waits for some. Spend it, or set forfeit_balance."


class LastAdministrator(FailedPrecondition):
    """No administrator would remain."""

    reason = "LAST_ADMINISTRATOR"
    text = "The last administrator cannot be disabled, deleted or demoted. Appoint another one."
