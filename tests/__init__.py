"""The tests. Importing them tells gRPC that no process here goes on after a fork."""

import os

# gRPC's handlers can end the child of a fork before it becomes the program that a test starts
# as another user. They also warn at each start of a process.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
