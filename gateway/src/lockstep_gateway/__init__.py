"""A gateway that serves gRPC services as HTTP and JSON, driven only by their descriptors."""
