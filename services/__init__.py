"""Lockstep's services, and the command that runs them."""

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

# gRPC's core reads this when it is imported. It writes plain text to the standard error, by
# default a line for each failed handshake: whoever scans a port would fill the log.
os.environ.setdefault(
    "GRPC_VERBOSITY", "NONE" if os.environ.get("LOCKSTEP_LOG_FORMAT") == "json" else "ERROR"
)


class _WithoutRich(SourceFileLoader):
    """Loads structlog, whoever imports it first, and lets it take rich for absent.

    It would load rich, which takes 3 MiB of each process, for tracebacks that are not written
    by it here. Only the command uses rich, for its tables.
    """

    def exec_module(self, module: ModuleType) -> None:
        """Execute structlog while rich is hidden."""
        modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment] # None is "absent"
        rich = modules.get("rich")
        modules["rich"] = None
        try:
            super().exec_module(module)
        finally:
            del modules["rich"]
            if rich is not None:
                modules["rich"] = rich

    @classmethod
    def find_spec(
        cls, name: str, _path: object = None, _target: object = None
    ) -> ModuleSpec | None:
        """Find structlog with this loader, as `sys.meta_path` asks, and no other module."""
        spec = PathFinder.find_spec(name) if name == "structlog" else None
        if spec is not None and spec.origin is not None:
            spec.loader = cls(name, spec.origin)
        return spec


if "structlog" not in sys.modules:
    sys.meta_path.insert(0, _WithoutRich)
