"""The lines that a reader may copy from the documents work on a Lockstep that runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api.annotations_pb2 import http
from google.protobuf.descriptor_pb2 import MethodDescriptorProto
from lockstep_clients.methods import descriptors

from tests.e2e.stack import ROOT, Stack
from tests.fences import fences

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{each.name}" for each in (ROOT / "docs").glob("*.md")),
)
# The rest runs tests or another Lockstep, or leaves out a part ("...").
RUN = re.compile(r"curl |grpcurl |printf |\.venv/bin/lockstep |[A-Z_]+=\$")
PORTS = {
    "8080": "GATEWAY",
    "50051": "AUTH",
    "9051": "AUTH_METRICS",
    "9053": "COMMERCE_METRICS",
}
PASSWORD = "Documented-Horse-42"
SECONDS_MAX = 90
# These lines need a Lockstep with mutual TLS: tests/e2e/test_mutual_tls.py runs them.
CERTIFICATES = re.compile(r"\bcerts\b")


def commands(page: str) -> Iterator[str]:
    """Yield the commands of a page that a Lockstep must be able to run."""
    for block in fences((ROOT / page).read_text(), "console"):
        lines = iter(block.splitlines())
        for line in lines:
            if line.startswith("$ "):
                command = line.removeprefix("$ ")
                while not is_whole(command):
                    command += "\n" + next(lines)
                if RUN.match(command) and not command.endswith("..."):
                    yield command


def is_whole(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:
        return False
    return not command.endswith("\\")


def plain_commands(page: str) -> list[str]:
    return [each for each in commands(page) if not CERTIFICATES.search(each)]


WITH_COMMANDS = [page for page in PAGES if plain_commands(page)]


def test_the_documents_have_such_lines() -> None:
    assert {"README.md", "docs/operations.md"} <= set(WITH_COMMANDS)


# The methods of Auth in version 0.1. Each later one has an example over gRPC, and over REST.
FIRST = frozenset(
    [
        "Register",
        "SendOtp",
        "VerifyOtp",
        "Login",
        "RefreshToken",
        "Logout",
        "VerifyEmail",
        "SendEmailVerification",
        "ChangeEmail",
        "CheckSession",
        "RequestPasswordReset",
        "ResetPassword",
        "ChangePassword",
        "GetUser",
        "ListUsers",
        "DisableUser",
        "EnableUser",
        "DeleteUser",
        "GetJwks",
    ]
)


# It needs an event that a receiver has refused for three days.
WITHOUT_EXAMPLE = frozenset({"SendWebhookAgain"})


def test_each_later_method_of_auth_has_examples() -> None:
    lines = "\n".join(command for page in WITH_COMMANDS for command in plain_commands(page))
    missing = []
    for file in descriptors().file:
        for service in file.service:
            if file.package != "lockstep.auth.v1":
                continue
            for method in service.method:
                if method.name in FIRST | WITHOUT_EXAMPLE:
                    continue
                if f"{file.package}.{service.name}/{method.name}" not in lines:
                    missing.append(f"grpcurl: {method.name}")
                if not all(re.search(each, lines) for each in rest_path(method)):
                    missing.append(f"curl: {method.name}")
    assert missing == []


def rest_path(method: MethodDescriptorProto) -> list[str]:
    """Return a pattern for the REST call of a method, if there is one."""
    options: Any = method.options
    rule = options.Extensions[http]
    path = rule.get or rule.post or rule.put or rule.patch or rule.delete
    pattern = re.sub(r"\\\{[\w\\.]+\\\}", r"[^/\\s\"']+", re.escape(path))
    verb = "-X DELETE .?" if rule.delete else ""
    return [rf"{verb}localhost:8080{pattern}(?![\w/:])"] if path else []


@pytest.mark.processes
@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_each_line_of_a_page_works(stack: Stack, page: str) -> None:
    run(plain_commands(page), stack)


def run(lines: Iterable[str], stack: Stack) -> None:
    """Run commands one after the other; each must work."""
    script = ["set -e -o pipefail"]
    for command in lines:
        script += [f"echo {shlex.quote('# ' + command)}", on_this_stack(command, stack)]
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=stack.environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        input=f"{PASSWORD}\n{PASSWORD}\n",
        timeout=SECONDS_MAX,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not found" not in done.stdout.lower()


def on_this_stack(command: str, stack: Stack) -> str:
    """Write a command for the ports of the tests; an answer of 400 or above ends it."""
    for port, name in PORTS.items():
        command = command.replace(
            f"localhost:{port}", f"127.0.0.1:{stack.environment[f'LOCKSTEP_{name}_PORT']}"
        )
    command = command.replace(".lockstep/", f"{stack.home}/")
    command = command.replace(".venv/bin/python", sys.executable)
    command = command.replace(".venv/bin/lockstep", f"{sys.executable} -m services.cli")
    return re.sub(r"(?<!grp)\bcurl ", "curl --fail-with-body ", command)
