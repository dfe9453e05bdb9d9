"""Commerce's RPCs: each reads its request, runs its use case and writes the answer."""
