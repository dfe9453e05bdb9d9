"""Lint the OpenAPI documents, and generate clients from them, with the tools that people use.

python -m tests.gateway.openapi_checks

The tools come from npm and PyPI. A tool that cannot be had is left out, with a line that says so.
A warning is a failure, but for those below that have a reason.
"""

from __future__ import annotations

import compileall
import importlib.resources
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockstep_gateway.binding import descriptors
from lockstep_gateway.http.config import ApiInfo
from lockstep_gateway.openapi.document import document
from protobuf import Registry

from services.gateway.lockstep import METHOD_OPTION, OWN_INFO
from tests.gateway.world import PROTOS, compile_protos

SECONDS_MAX = 300
FEATURES = "acme/features/v1/features.proto"
FEATURES_INFO = ApiInfo(title="Features", contact="api@acme.example", license="MIT")
NPX = ("npx", "--yes", "--package")
UVX = (str(Path(sys.executable).with_name("uv")), "tool", "run", "--quiet", "--from")
SPECTRAL = 'extends: ["spectral:oas"]\n'
# Offline, these must say so at once.
ENVIRONMENT = {**os.environ, "npm_config_fetch_retries": "0", "NO_COLOR": "1", "CI": "true"}


@dataclass(frozen=True)
class Tool:
    """A tool, run in a folder with `document.json`.

    Attributes:
        command: Its command, up to the arguments.
        arguments: Its arguments.
        problem: The pattern of a line that tells a problem.
        accepted: The pattern of such lines that have a reason.
        needs: A program without which the tool cannot run.
    """

    command: tuple[str, ...]
    arguments: tuple[str, ...]
    problem: str
    accepted: str = "(?!)"
    needs: str = "npx"


TOOLS = {
    "spectral": Tool(
        (*NPX, "@stoplight/spectral-cli@6", "--", "spectral"),
        ("lint", "document.json", "-r", "spectral.yaml", "-f", "text"),
        r"\b(error|warning) [a-z]",
    ),
    "redocly": Tool(
        (*NPX, "@redocly/cli@2", "--", "redocly"),
        ("lint", "--extends", "recommended", "--format", "stylish", "document.json"),
        r"^\s*\d+:\d+\s+(error|warning)",
    ),
    "openapi-typescript": Tool(
        (*NPX, "openapi-typescript@7", "--", "openapi-typescript"),
        ("document.json", "-o", "types.ts"),
        r"(?i)warn|error",
    ),
    "openapi-python-client": Tool(
        (*UVX, "openapi-python-client==0.29.*", "openapi-python-client"),
        ("generate", "--path", "document.json", "--output-path", "client", "--meta", "none"),
        r"WARNING|ERROR|(?i:warning\(s\))",
        needs=UVX[0],
    ),
    "datamodel-code-generator": Tool(
        (*UVX, "datamodel-code-generator==0.89.*", "datamodel-codegen"),
        (
            *("--input", "document.json", "--input-file-type", "openapi", "--output", "models.py"),
            *("--output-model-type", "pydantic_v2.BaseModel", "--formatters", "builtin"),
        ),
        r"Warning|Error",
        needs=UVX[0],
    ),
    "openapi-generator": Tool(
        (*UVX, "openapi-generator-cli==7.26.*", "openapi-generator-cli"),
        ("generate", "-g", "python", "-i", "document.json", "-o", "generated"),
        r"\b(WARN|ERROR)\b|Exception",
        # It calls its support of OpenAPI 3.1 beta. It also warns of a value that may be
        # anything, such as a member of google.protobuf.Any.
        accepted=r"still in beta|Failed to get the schema name: null|Codegen property is null|INFO",
        needs="java",
    ),
}


def documents(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield Lockstep's document, and one with every feature of the HTTP rules."""
    data = importlib.resources.files("lockstep_clients") / "lockstep.binpb"
    yield "lockstep", _document(descriptors.load(data.read_bytes()), "lockstep.", OWN_INFO)
    compiled = compile_protos(PROTOS, folder / "features.binpb", FEATURES)
    yield "features", _document(descriptors.load(compiled), "acme.", FEATURES_INFO)


def check(tool: Tool, described: dict[str, Any], folder: Path) -> list[str]:
    """Run a tool on a document; return the lines of its problems."""
    (folder / "document.json").write_text(json.dumps(described, indent=1))
    (folder / "spectral.yaml").write_text(SPECTRAL)
    done = _run(folder, *tool.command, *tool.arguments)
    lines = (done.stdout + done.stderr).splitlines()
    problems = [
        line
        for line in lines
        if re.search(tool.problem, line) and not re.search(tool.accepted, line)
    ]
    if done.returncode and not problems:
        problems = lines[-20:] or [f"it ended with {done.returncode}"]
    if not compileall.compile_dir(folder, quiet=1):
        problems.append("it generated Python that does not compile")
    return problems


def reason_against(tool: Tool, folder: Path) -> str:
    """Return why a tool cannot run here; "" if it can."""
    if shutil.which(tool.needs) is None:
        return f"there is no {tool.needs} on this machine"
    try:
        done = _run(folder, *tool.command, "--help")
    except subprocess.TimeoutExpired:
        return f"it did not come within {SECONDS_MAX} seconds"
    return "it could not be had" if done.returncode else ""


def main() -> int:
    """Run all tools on all documents; return how many have found something."""
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        described = dict(documents(Path(scratch)))
        for name, tool in TOOLS.items():
            reason = reason_against(tool, Path(scratch))
            if reason:
                print(f"{name}: left out, {reason}")
                continue
            for title, each in described.items():
                folder = Path(scratch) / name / title
                folder.mkdir(parents=True)
                problems = check(tool, each, folder)
                print(f"{name}: {title}: {len(problems)} problems", *problems[:50], sep="\n  ")
                failed += bool(problems)
    return failed


def _document(registry: Registry, packages: str, info: ApiInfo) -> dict[str, Any]:
    rpcs = [
        rpc
        for service in descriptors.services(registry)
        if service.type_name.startswith(packages)
        for rpc in descriptors.rpcs(registry, service, method_option=METHOD_OPTION)
    ]
    return document(registry, rpcs, title=info.title, info=info)


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS_MAX,
    )


if __name__ == "__main__":
    sys.exit(main())
