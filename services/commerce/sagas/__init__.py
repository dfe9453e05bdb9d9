"""The sagas that Commerce coordinates, one a file."""
