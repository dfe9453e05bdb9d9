"""Events: what has happened in a service, told to others once it is final (ADR 11)."""
