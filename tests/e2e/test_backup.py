"""The drill: everything is lost, and comes back elsewhere from a backup made under load."""

from __future__ import annotations

import tempfile
from pathlib import Path

import httpx
import pytest

from services.cli.postgres import EmbeddedPostgres
from services.cli.reconciler import MENDABLE
from tests.e2e.load import PASSWORD, Load, under_load
from tests.e2e.stack import Stack, environment, running_stack, up
from tests.waiting import wait_until

pytestmark = pytest.mark.processes

SECONDS_MAX = 60


def wait_for(load: Load, registered: int) -> None:
    wait_until(
        lambda: len(load.registered) >= registered,
        seconds=SECONDS_MAX,
        told=lambda: load.failures,
    )


def test_a_backup_under_load_brings_everybody_back_elsewhere() -> None:
    with tempfile.TemporaryDirectory(prefix="lockstep-drill-") as folder:
        kept = Path(folder) / "backup"
        with (
            running_stack(LOCKSTEP_ADDRESS_LIMITS="off") as lost,
            under_load([lost.url]) as load,
        ):
            wait_for(load, 5)
            acknowledged = list(load.registered)
            lost.command("backup", str(kept), "--keys")
            wait_for(load, len(acknowledged) + 5)
        assert load.failures == []  # a backup disturbs nobody
        assert not lost.home.exists()

        elsewhere = Stack(environment(Path(folder) / "home") | {"LOCKSTEP_ADDRESS_LIMITS": "off"})
        try:
            told = elsewhere.command("restore", str(kept), "--keys")
            found = [line for line in told.splitlines() if line.startswith("found: ")]
            kinds = {kind for kind in MENDABLE for line in found if str(kind.value) in line}
            assert len(found) <= 20
            assert bool(kinds) == bool(found), told
            with up(elsewhere):
                log_in(elsewhere, acknowledged)
                elsewhere.command("reconcile", "--mend", "--min-age", "0")
                agreed = elsewhere.command("reconcile", "--min-age", "0")
                assert agreed == "everything agrees\n"
                in_use = elsewhere.run("restore", str(kept), "--replace")
                assert in_use.returncode == 1
                assert "is in use by " in in_use.stderr
        finally:
            EmbeddedPostgres(elsewhere.home / "postgres").destroy()


def log_in(stack: Stack, people: list[str]) -> None:
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        for email in people:
            answer = client.post("/v1/auth/login", json={"email": email, "password": PASSWORD})
            assert answer.status_code == 200, answer.text
            token = {"Authorization": f"Bearer {answer.json()['token']}"}
            assert client.get("/v1/profiles/me", headers=token).status_code == 200
