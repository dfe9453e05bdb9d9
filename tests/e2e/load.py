"""People who use Lockstep while something is done to it, and remember every answer."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

PASSWORD = "SecurePass123!"
READY_POLL_SECONDS = 0.05
PAUSE_SECONDS = 0.05  # what is tested needs the processor, too


@dataclass
class Load:
    """What people did, and what they were answered.

    Attributes:
        registered: Whose registration was acknowledged, in this order.
        outcomes: How often each request was answered by each status.
        failures: The answers that nobody should get.
    """

    gateways: list[str]
    registered: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ready: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with all gateways."""
        self._ready = self.gateways

    def watch(self) -> None:
        """Look which gateways are ready, as a balancer does."""
        with httpx.Client(timeout=5) as client:
            while not self._stopped.wait(READY_POLL_SECONDS):
                self._ready = [each for each in self.gateways if _is_ready(client, each)]

    def live(self) -> None:
        """Register, log in, look at products, again and again."""
        with httpx.Client(timeout=30) as client:
            while not self._stopped.is_set():
                ready = self._ready or self.gateways
                self._once(client, ready[uuid.uuid4().int % len(ready)])
                self._stopped.wait(PAUSE_SECONDS)

    def _once(self, client: httpx.Client, url: str) -> None:
        email = f"{uuid.uuid4().hex}@example.com"
        person = {"email": email, "password": PASSWORD, "fullName": "Ada L", "course": "Maths"}
        try:
            made = self._asked("register", client.post(f"{url}/v1/auth/register", json=person))
            if made.status_code == 201:
                with self._lock:
                    self.registered.append(email)
                login = {"email": email, "password": PASSWORD}
                self._asked("login", client.post(f"{url}/v1/auth/login", json=login))
            self._asked("products", client.get(f"{url}/v1/products"))
        except httpx.TransportError as error:
            self.failures.append(f"{url}: {error!r}")

    def _asked(self, what: str, answer: httpx.Response) -> httpx.Response:
        self.outcomes[f"{what} {answer.status_code}"] += 1
        if answer.status_code >= 400:
            self.failures.append(f"{what}: {answer.status_code} {answer.text[:300]}")
        return answer

    def stop(self) -> None:
        """End all requests."""
        self._stopped.set()


def _is_ready(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@contextlib.contextmanager
def under_load(gateways: list[str], people: int = 2) -> Iterator[Load]:
    """Let people use the gateways until the context ends."""
    load = Load(gateways)
    threads = [threading.Thread(target=load.watch, daemon=True)]
    threads += [threading.Thread(target=load.live, daemon=True) for _ in range(people)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.stop()
        for thread in threads:
            thread.join(30)
