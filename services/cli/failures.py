"""What a person is told about a call or a command that failed."""

from typing import TYPE_CHECKING

from services.cli.errors import CommandError

if TYPE_CHECKING:
    from lockstep_clients import LockstepError


class CallError(CommandError):
    """A call to a service failed. The text is for a person, the error for a program."""

    def __init__(self, text: str, error: "LockstepError") -> None:
        super().__init__(text)
        self.error = error


class NotFoundError(CallError):
    """A service does not have what the call is about."""


def failure_of(service: str, target: str, error: "LockstepError") -> CallError:
    """Make sentences of a failed call, with what the reader can do.

    Args:
        service: The name of the service.
        target: Where it was called.
        error: How the call failed.
    """
    from lockstep_clients import NotFound

    if isinstance(error, NotFound):
        return NotFoundError(_sentence(service, target, error), error)
    if error.violations:
        return CallError("\n".join(f"{v.field} {v.description}" for v in error.violations), error)
    return CallError(_sentence(service, target, error), error)


def _sentence(service: str, target: str, error: "LockstepError") -> str:
    import lockstep_clients as clients

    setting = f"LOCKSTEP_{service.upper()}_ADDRESS"
    match error:
        case clients.Unavailable() if not error.reason:
            return (
                f"{service} cannot be reached at {target}: start it (`lockstep up`), "
                f"or set {setting} to where it runs"
            )
        case clients.DeadlineExceeded():
            return (
                f"{service} did not answer in time: ask `lockstep health {service}`; "
                "what was asked for may have happened all the same"
            )
        case clients.Unauthenticated() | clients.PermissionDenied():
            return (
                f"{service} refuses the keys of this command: LOCKSTEP_KEYS must name the "
                f"folder whose trusted.json {service} uses{_because(error)}"
            )
        case clients.Internal() | clients.Unknown() if error.trace_id:
            return f"{service} has failed: its log has the trace {error.trace_id}"
        case clients.Unavailable():
            return f"{service} cannot do this now{_because(error)}: try again"
    return error.message or f"{service} has failed ({error.code.name})"


def _because(error: "LockstepError") -> str:
    text = error.message.strip().rstrip(".")
    return f" ({text})" if text else ""


def told_of(error: Exception) -> Exception | None:
    """Return what to tell about an expected failure, or None for one that nobody expects."""
    import psycopg
    from psycopg import errors

    from services.common.files import FileProblem, explained
    from services.common.settings import SettingsError

    if isinstance(error, OSError):
        return explained(error)
    if isinstance(error, psycopg.OperationalError):
        return CommandError(f"a database cannot be reached: {' '.join(str(error).split())}")
    missing = (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction)
    if isinstance(error, missing):
        return CommandError(
            "a database does not have the tables of this code "
            f"({error.diag.message_primary}): run `lockstep migrate`"
        )
    return error if isinstance(error, CommandError | FileProblem | SettingsError) else None
