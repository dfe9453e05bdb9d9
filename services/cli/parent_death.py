"""Become a command that ends with its parent, under another user if one is given.

The module runs as a file: `python -I -S parent_death.py PARENT SIGNAL USER COMMAND...`. So the
starting program never forks while it has threads, and `ps` shows the command.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
NOT_STARTED = 126


def command(argv: list[str], *, death_signal: int, uid: int | None = None) -> list[str]:
    """Wrap `argv` so that it gets `death_signal` when this process dies (Linux only)."""
    user = "-" if uid is None else str(uid)
    launcher = [sys.executable, "-I", "-S", __file__]
    return [*launcher, str(os.getpid()), str(int(death_signal)), user, *argv]


def main(parent: int, death_signal: int, user: str, argv: list[str]) -> None:
    """Change the user, tie this process to its parent, and become `argv`."""
    if user != "-":
        _become(int(user))
    if sys.platform == "linux":
        # A later change of user would clear the setting (prctl(2)).
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            sys.exit(NOT_STARTED)
    try:
        os.execv(argv[0], argv)  # noqa: S606 - becoming the command is the point
    except OSError as error:
        sys.exit(f"{argv[0]}: {error.strerror}")


def _become(uid: int) -> None:
    import pwd

    gid = pwd.getpwuid(uid).pw_gid
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
