"""The command `lockstep-gateway`: serve gRPC services as HTTP and JSON.

lockstep-gateway --upstream localhost:50051
"""

from __future__ import annotations

import os


def main() -> None:
    """Run the command."""
    # gRPC's own lines say less than ours, and one of them calls a missing health service an error.
    # It reads this variable when it is imported, and never again.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from lockstep_gateway.running import run

    run()


if __name__ == "__main__":
    main()
