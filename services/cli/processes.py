"""Processes that are not children of this one: they are polled, as they send no SIGCHLD."""

import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import psutil

POLL_SECONDS: Final = 0.02


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs; a zombie, which some inits never reap, does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def terminate(
    processes: Iterable[psutil.Process], signals: Iterable[signal.Signals], seconds: float
) -> None:
    """Send each signal to the processes that still run, and wait `seconds` after each."""
    alive = list(processes)
    for number in signals:
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        alive = wait(alive, seconds)


def wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for processes to end, and return those that still run."""
    deadline = time.monotonic() + seconds
    alive = [process for process in processes if is_alive(process)]
    while alive and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        alive = [process for process in alive if is_alive(process)]
    return alive
