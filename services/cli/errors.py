"""The error that the command prints without a traceback."""


class CommandError(Exception):
    """A command failed; each line of the text names a problem and its remedy."""
