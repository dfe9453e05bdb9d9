"""Runs commands in forked processes, so that a table of hundreds need not import each time.

It reads a JSON object a line (arguments, environment, user id) and writes one (code, output).
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SECONDS_MAX = 60.0
ROOT = Path(__file__).parents[2]


class Zygote:
    """The process that forks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.zygote"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, module: str, *arguments: str, environment: dict[str, str], uid: int | None = None
    ) -> tuple[int, str, str]:
        """Run a module, and return its exit code (-9: it did not end), output and errors."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"argv": [module, *arguments], "environment": environment, "uid": uid}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        code, output, errors = json.loads(self._process.stdout.readline())
        return code, output, errors

    def close(self) -> None:
        self._process.communicate(timeout=10)


def main() -> None:
    import encodings.idna  # noqa: F401 - another user cannot reach the files of either

    import iso4217  # noqa: F401 - as above

    import services.auth.__main__
    import services.cli.running
    import services.common.key_files
    import services.gateway.__main__
    import services.profile.__main__  # noqa: F401 - imported for the children

    for line in sys.stdin:
        request = json.loads(line)
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            pid = os.fork()
            if pid == 0:
                _child(request, output.fileno(), errors.fileno())
            code = _wait(pid)
            for file in (output, errors):
                file.seek(0)
            print(json.dumps([code, output.read(), errors.read()]), flush=True)


def _child(request: dict[str, Any], output: int, errors: int) -> None:
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(errors, 2)
    if request["uid"] is not None:
        os.setgroups([])
        os.setgid(request["uid"])
        os.setuid(request["uid"])
    os.environ.clear()
    os.environ.update(request["environment"])
    module, *arguments = request["argv"]
    sys.argv = [module, *arguments]
    sys.modules.pop(f"{module}.__main__", None)
    code = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as Python itself, but without its clean-up
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(pid: int) -> int:
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -signal.SIGKILL


if __name__ == "__main__":
    main()
