"""Profile on the wire: requests become use cases, results become messages."""
