"""gRPC: the layers around a call, access, and the server."""
