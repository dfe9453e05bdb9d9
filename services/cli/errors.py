"""What the command reports as one line instead of a traceback."""


class CommandError(Exception):
    """Say in one line what is wrong and what helps."""
