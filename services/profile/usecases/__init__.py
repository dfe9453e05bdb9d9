"""What Profile does, a use case a file, each named after its RPC."""
