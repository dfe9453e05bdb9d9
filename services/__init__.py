"""Lockstep's services, and the command that runs them."""

import os
import sys
from types import ModuleType

# gRPC's core reads this when it is imported. It writes plain text to the standard error, by
# default a line for each failed handshake: whoever scans a port would fill the log.
os.environ.setdefault(
    "GRPC_VERBOSITY", "NONE" if os.environ.get("LOCKSTEP_LOG_FORMAT") == "json" else "ERROR"
)


def _import_structlog_without_rich() -> None:
    """Import structlog, and let it take rich for absent.

    It would load rich, which takes 3 MiB of each process, for tracebacks that are not written
    by it here. Only the command uses rich, for its tables.
    """
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment] # None is "absent"
    rich = modules.get("rich")
    modules["rich"] = None
    try:
        import structlog  # noqa: F401 - imported here for all who use it
    finally:
        del modules["rich"]
        if rich is not None:
            modules["rich"] = rich


_import_structlog_without_rich()
