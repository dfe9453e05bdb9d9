"""Virtual time: hours cost nothing, and nothing happens while a database is still thinking.

The loop's clock stands still while any statement is under way, and jumps to the next
timer when nothing else can happen. A statement that waits for a lock is noticed too,
because it is the only thing that can keep a local database from answering.
"""

from __future__ import annotations

import asyncio
import selectors
import weakref
from collections.abc import Callable
from typing import Any

import psycopg

from services.kernel.db.watch import SocketWatch

# How long a database may be silent before somebody looks whether it waits for a lock.
BLOCKED_SECONDS = 0.01
RESOLUTION_SECONDS = 1e-4


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that waits for nobody but databases.

    Attributes:
        busy: How many statements are under way.
        on_jump: Called with the seconds by which the clock is about to jump.
        pools: The tasks of connection pools, which outlive a run.
        on_blocked: Called when no statement under way has been answered for a while; returns
            whether that let somebody go on.
    """

    def __init__(self) -> None:
        self._virtual = 1_000.0
        self.busy = 0
        self.on_jump: Callable[[float], None] = lambda _: None
        self.on_blocked: Callable[[], bool] = lambda: False
        self.pools: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        super().__init__(_Selector(self))
        # Of clocks that are years ahead, floats know no nanoseconds: a timer would stay
        # due and never run.
        self._clock_resolution = RESOLUTION_SECONDS
        self.set_task_factory(_make_task)

    def time(self) -> float:
        return self._virtual

    def jump(self, seconds: float) -> None:
        """Move the clock."""
        self._virtual += seconds
        self.on_jump(seconds)


def _make_task(
    loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
) -> asyncio.Task[Any]:
    assert isinstance(loop, VirtualLoop)
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    parent = asyncio.current_task(loop) if loop.is_running() else None
    name = getattr(coroutine, "__qualname__", "")
    if parent in loop.pools or name.startswith(("AsyncScheduler", "AsyncConnectionPool")):
        loop.pools.add(task)
    return task


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if self._loop.busy:
            return self._wait_for_databases()
        events = super().select(0)
        if events:
            return events
        if timeout is None:
            return super().select(1.0)  # a thread's doing, or nobody will ever wake up
        self._loop.jump(timeout)
        return []

    def _wait_for_databases(self) -> list[Any]:
        events = super().select(BLOCKED_SECONDS)
        if events or self._loop.on_blocked():
            return events
        return super().select(BLOCKED_SECONDS)


def count_statements(loop: VirtualLoop) -> Callable[[], None]:
    """Tell the loop of every wait for a database; returns what ends that."""
    waiting = psycopg.waiting
    names = ("wait_async", "wait_conn_async")
    originals = [getattr(waiting, name) for name in names]

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        async def wait(*args: Any, **kwargs: Any) -> Any:
            loop.busy += 1
            try:
                return await original(*args, **kwargs)
            finally:
                loop.busy -= 1

        return wait

    for name, original in zip(names, originals, strict=True):
        setattr(waiting, name, counted(original))
    at_watch = SocketWatch.is_readable
    SocketWatch.is_readable = counted(at_watch)  # type: ignore[method-assign]

    def restore() -> None:
        SocketWatch.is_readable = at_watch  # type: ignore[method-assign]
        for name, original in zip(names, originals, strict=True):
            setattr(waiting, name, original)

    return restore
