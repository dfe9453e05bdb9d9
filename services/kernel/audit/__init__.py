"""The audit log: one shape, one writer and one way to read it, in each service."""
