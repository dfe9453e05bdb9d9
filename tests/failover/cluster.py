"""Three PostgreSQL that Patroni keeps, with etcd beneath and haproxy before them."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import psutil
import psycopg

from tests.failover.tools import Runner, program
from tests.ports import free_ports

NODES: Final = 3
START_SECONDS_MAX: Final = 120.0
PASSWORD: Final = "patroni-test"
LOCAL: Final = "127.0.0.1"
# Patroni takes no shorter time until a primary that says nothing is replaced.
TTL_SECONDS: Final = 20
LAG_BYTES_MAX: Final = 100 * 1024 * 1024


@dataclass
class Node:
    """One PostgreSQL and its Patroni."""

    name: str
    port: int
    rest: int
    process: subprocess.Popen[bytes] | None = None


@dataclass
class Cluster:
    """The cluster.

    Attributes:
        runner: Who runs it.
        url: Names a database by all hosts, of which libpq finds the primary.
        haproxy_port: The port of haproxy, which leads to the primary.
    """

    runner: Runner
    nodes: list[Node] = field(default_factory=list)
    others: list[subprocess.Popen[bytes]] = field(default_factory=list)
    etcd_port: int = 0
    haproxy_port: int = 0

    def start(self) -> None:
        """Start all, and wait for a primary with two standbys."""
        etcd, peer, self.haproxy_port, *ports = free_ports(3 + 2 * NODES)
        self.etcd_port = etcd
        urls = f"http://{LOCAL}:{etcd}", f"http://{LOCAL}:{peer}"
        argv = [program("etcd"), "--data-dir", str(self.runner.folder / "etcd")]
        argv += ["--listen-client-urls", urls[0], "--advertise-client-urls", urls[0]]
        argv += ["--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1]]
        argv += ["--initial-cluster", f"default={urls[1]}"]
        argv += ["--heartbeat-interval", "500", "--election-timeout", "5000"]
        self.others.append(self.runner.start("etcd", argv))
        self.nodes = [
            Node(f"pg{number}", ports[2 * number], ports[2 * number + 1]) for number in range(NODES)
        ]
        for node in self.nodes:
            self.start_node(node)
        (self.runner.folder / "haproxy.cfg").write_text(self._haproxy())
        haproxy = [program("haproxy"), "-db", "-f", str(self.runner.folder / "haproxy.cfg")]
        self.others.append(self.runner.start("haproxy", haproxy))
        self.wait_whole()
        with psycopg.connect(self.admin_url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE lockstep LOGIN CREATEDB PASSWORD '{PASSWORD}'")

    def start_node(self, node: Node) -> None:
        """Start a node, or start it again after it was killed."""
        path = self.runner.folder / f"{node.name}.yml"
        path.write_text(json.dumps(self._patroni(node)))  # JSON is YAML
        path.chmod(0o644)
        argv = [self.runner.python, "-m", "patroni", str(path)]
        node.process = self.runner.start(node.name, argv)

    def stop(self) -> None:
        """Kill everything."""
        for node in self.nodes:
            self.kill(node)
        for process in self.others:
            process.kill()
            process.wait()

    def kill(self, node: Node) -> None:
        """Kill Patroni, the postmaster and all its children, as if the machine died."""
        killed: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            postmaster = self._postmaster(node)
            if postmaster is not None:
                killed = [postmaster, *postmaster.children(recursive=True)]
        if node.process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                patroni = psutil.Process(node.process.pid)
                killed = [patroni, *patroni.children(recursive=True), *killed]
        for process in killed:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if node.process is not None:
            node.process.wait()
            node.process = None

    def url(self, database: str) -> str:
        """Name a database by every host; libpq finds the one that takes writes."""
        hosts = ",".join(f"{LOCAL}:{node.port}" for node in self.nodes)
        return (
            f"postgresql://lockstep:{PASSWORD}@{hosts}/{database}"
            "?target_session_attrs=read-write&connect_timeout=3"
        )

    def haproxy_url(self, database: str) -> str:
        """Name a database by haproxy."""
        return f"postgresql://lockstep:{PASSWORD}@{LOCAL}:{self.haproxy_port}/{database}"

    def admin_url(self, database: str) -> str:
        """Name a database for the superuser."""
        return self.url(database).replace("lockstep:", "postgres:", 1)

    # --- what it is like

    def primary(self) -> Node | None:
        """Return the node that leads, if one does."""
        return next((node for node in self.nodes if self._get(node, "primary") == 200), None)

    def standbys(self) -> list[Node]:
        """Return the nodes that follow."""
        return [node for node in self.nodes if self._get(node, "replica") == 200]

    def wait_whole(self, *, is_synchronous: bool = True) -> Node:
        """Wait for a primary, and for all others to follow it; return the primary."""

        def whole() -> bool:
            kinds = ["replica", "replica"] if not is_synchronous else ["replica", "synchronous"]
            followers = [self._get(node, kind) == 200 for node in self.nodes for kind in set(kinds)]
            least = NODES - 1 + is_synchronous
            return self.primary() is not None and sum(followers) >= least

        self.wait(whole, "a primary with two standbys")
        found = self.primary()
        assert found is not None
        return found

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while not condition():
            if time.monotonic() > deadline:
                logs = "\n".join(self.runner.log(node.name)[-1500:] for node in self.nodes)
                raise TimeoutError(f"there was not {what} in time:\n{logs}")
            time.sleep(0.2)

    # --- what is done to it

    def switch_over(self) -> None:
        """Have another node lead, in order."""
        leader = self.wait_whole()
        candidate = next(node for node in self.nodes if self._get(node, "synchronous") == 200)
        body = {"leader": leader.name, "candidate": candidate.name}
        answer = httpx.post(f"http://{LOCAL}:{leader.rest}/switchover", json=body, timeout=60)
        answer.raise_for_status()

    def set_synchronous(self, *, is_on: bool) -> None:
        """Have a commit wait for a standby, or not."""
        leader = self.wait_whole(is_synchronous=not is_on)
        body = {"synchronous_mode": is_on}
        url = f"http://{LOCAL}:{leader.rest}/config"
        httpx.patch(url, json=body, timeout=10).raise_for_status()
        wanted = is_on

        def applied() -> bool:
            with psycopg.connect(self.admin_url("postgres")) as connection:
                row = connection.execute("SHOW synchronous_standby_names").fetchone()
            return row is not None and bool(row[0]) is wanted

        self.wait(applied, "the new mode of replication")

    @contextlib.contextmanager
    def frozen(self, nodes: list[Node], title: str) -> Iterator[None]:
        """Freeze the processes of some nodes that have a title, such as `walreceiver`."""
        found = [
            process
            for node in nodes
            if (postmaster := self._postmaster(node)) is not None
            for process in postmaster.children(recursive=True)
            if any(title in part for part in process.cmdline())
        ]
        assert found, f"no {title} runs"
        for process in found:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

    def _postmaster(self, node: Node) -> psutil.Process | None:
        path = self.runner.folder / node.name / "postmaster.pid"
        try:
            process = psutil.Process(int(path.read_text().split("\n", 1)[0]))
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None
        return process if "postgres" in process.name() else None

    def _get(self, node: Node, path: str) -> int:
        try:
            return httpx.get(f"http://{LOCAL}:{node.rest}/{path}", timeout=3).status_code
        except httpx.HTTPError:
            return 0

    def _patroni(self, node: Node) -> dict[str, Any]:
        rest, sql = f"{LOCAL}:{node.rest}", f"{LOCAL}:{node.port}"
        users = {"superuser": "postgres", "replication": "replicator", "rewind": "rewinder"}
        parameters = {"max_connections": 150, "wal_log_hints": "on", "wal_keep_size": "256MB"}
        dcs = {"ttl": TTL_SECONDS, "loop_wait": 5, "retry_timeout": 5, "synchronous_mode": True}
        # Otherwise Patroni would rather have no primary than lose what the standbys lack.
        dcs["maximum_lag_on_failover"] = LAG_BYTES_MAX
        return {
            "scope": "lockstep",
            "name": node.name,
            "restapi": {"listen": rest, "connect_address": rest},
            "etcd3": {"hosts": f"{LOCAL}:{self.etcd_port}"},
            "bootstrap": {
                "dcs": {
                    **dcs,
                    "postgresql": {
                        "use_pg_rewind": True,
                        "use_slots": True,
                        "parameters": parameters,
                    },
                },
                "initdb": [
                    {"encoding": "UTF8"},
                    {"locale": "C"},
                    {"locale-provider": "builtin"},
                    {"builtin-locale": "C.UTF-8"},
                    "data-checksums",
                ],
            },
            "postgresql": {
                "listen": sql,
                "connect_address": sql,
                "data_dir": str(self.runner.folder / node.name),
                "bin_dir": str(self.runner.bin),
                # A killed process leaves what it wrote to the system, so no test needs fsync.
                "parameters": {
                    "unix_socket_directories": "",
                    "shared_buffers": "32MB",
                    "fsync": "off",
                },
                "authentication": {
                    kind: {"username": name, "password": PASSWORD} for kind, name in users.items()
                },
                "pg_hba": [
                    f"host replication all {LOCAL}/32 scram-sha-256",
                    f"host all all {LOCAL}/32 scram-sha-256",
                ],
            },
            "watchdog": {"mode": "off"},
        }

    def _haproxy(self) -> str:
        servers = "\n".join(
            f"  server {node.name} {LOCAL}:{node.port} check port {node.rest}"
            for node in self.nodes
        )
        return f"""defaults
  mode tcp
  timeout connect 2s
  timeout client 30m
  timeout server 30m
  timeout check 2s
listen primary
  bind {LOCAL}:{self.haproxy_port}
  option httpchk OPTIONS /primary
  http-check expect status 200
  default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
{servers}
"""
