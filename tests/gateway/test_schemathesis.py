"""Requests made from the document alone: all answers are as it describes, none a server error."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

# The checks of every answer. Requests outside of the document may succeed, because ProtoJSON
# takes more forms (null, numbers as texts) than a schema describes.
# Making values of a message that holds its own type takes minutes; test_fuzz makes random ones.
RECURSIVE = "/v1/everything"
SECONDS_MAX = 110
CHECKS = (
    "not_a_server_error,status_code_conformance,"
    "content_type_conformance,response_schema_conformance"
)


async def test_requests_made_from_the_document_get_what_it_promises(
    world: World, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        *("run", f"http://127.0.0.1:{world.client.port}/openapi.json"),
        *("--checks", CHECKS, "--phases", "examples,fuzzing", "--max-examples", "5"),
        *("--exclude-path", RECURSIVE),
        *("--seed", "7", "--no-color", "--continue-on-failure"),
        cwd=tmp_path,
        env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SECONDS_MAX):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()[-4000:]
