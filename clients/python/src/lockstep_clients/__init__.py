"""Call Lockstep over gRPC with its deadlines, retries, credentials and typed errors."""
