"""The sagas that Auth coordinates, one a file."""
