"""Lockstep's services, and the command that runs them."""

import os

# gRPC's core reads this when it is imported. It writes plain text to the standard error, by
# default a line for each failed handshake: whoever scans a port would fill the log.
os.environ.setdefault(
    "GRPC_VERBOSITY", "NONE" if os.environ.get("LOCKSTEP_LOG_FORMAT") == "json" else "ERROR"
)
