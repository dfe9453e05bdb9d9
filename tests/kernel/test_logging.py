from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.common import cert_files
from services.kernel.logging import Lines, plain

# In a process of its own: structlog's configuration belongs to the whole process.
PROGRAM = """
import sys, warnings
warnings.simplefilter("error")
import structlog
from services.kernel.logging import configure

configure(service="probe", level=sys.argv[1], form=sys.argv[2])
log = structlog.get_logger("test")
structlog.contextvars.bind_contextvars(trace_id="abc")
log.debug("quiet")
log.info("hello", number=7)
password = "hunter2"
try:
    raise RuntimeError("it broke")
except RuntimeError:
    log.exception("unexpected")
"""


def lines(level: str, form: str) -> list[str]:
    program = [sys.executable, "-c", PROGRAM, level, form]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_for_machines_each_event_is_a_line_of_json_with_the_ids_of_its_request() -> None:
    hello, unexpected = [json.loads(line) for line in lines("info", "json")]
    assert hello.pop("timestamp").endswith("Z")
    assert hello == {
        "event": "hello",
        "level": "info",
        "service": "probe",
        "trace_id": "abc",
        "number": 7,
    }
    assert unexpected["level"] == "error"
    assert unexpected["exception"].endswith("RuntimeError: it broke")
    assert unexpected["trace_id"] == "abc"


OF_OTHERS = """
import logging, sys, threading, warnings
from services.kernel.logging import configure

configure(service="probe", level="info", form=sys.argv[1])
logging.getLogger("psycopg.pool").warning("lost %s\\nin two lines", "a connection")
logging.getLogger("asyncio").error("Task exception", exc_info=RuntimeError("a task"))
logging.getLogger("odd").log(35, "between two levels")
warnings.warn("old", DeprecationWarning)
def fail(): raise ValueError("in a thread")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
raise KeyError("at last")
"""


def test_libraries_warnings_and_crashes_are_lines_of_the_same_form() -> None:
    program = [sys.executable, "-W", "always", "-c", OF_OTHERS, "json"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["level"], each["event"].split(":")[0].splitlines()[0]) for each in events][
        :3
    ] == [
        ("warning", "lost a connection"),
        ("error", "Task exception"),
        ("warning", "between two levels"),
    ]
    assert [each["event"] for each in events[-2:]] == ["crashed", "crashed"]
    assert [each["exception"].splitlines()[-1] for each in events[-2:]] == [
        "ValueError: in a thread",
        "KeyError: 'at last'",
    ]
    assert any("DeprecationWarning" in each["event"] for each in events)
    assert {each["service"] for each in events} == {"probe"}
    assert all(each["timestamp"].endswith("Z") for each in events)


HANDSHAKES = """
import asyncio, sys
from pathlib import Path
import services
import grpc
from services.kernel.logging import configure

folder = Path(sys.argv[1])
configure(service="probe", form=sys.argv[2])

async def serve():
    pair = [(folder / "auth" / name).read_bytes() for name in ("key.pem", "cert.pem")]
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\\r\\n\\r\\n")
    await reader.read()
    await server.stop(0)

asyncio.run(serve())
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_connection_that_speaks_no_tls_is_no_line_of_grpcs_core(
    tmp_path: Path, form: str
) -> None:
    cert_files.initialise(tmp_path, services=["auth"])
    environment = {name: os.environ[name] for name in os.environ if name != "GRPC_VERBOSITY"}
    done = subprocess.run(
        [sys.executable, "-c", HANDSHAKES, str(tmp_path), form],
        env=environment | {"LOCKSTEP_LOG_FORMAT": form},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("level", "events"),
    [("debug", ["quiet", "hello", "unexpected"]), ("warning", ["unexpected"])],
)
def test_less_than_the_level_is_not_logged(level: str, events: list[str]) -> None:
    assert [json.loads(line)["event"] for line in lines(level, "json")] == events


def test_for_people_a_traceback_is_plain_and_shows_no_variables() -> None:
    text = "\n".join(lines("info", "console"))
    assert "hello" in text
    assert "number=7" in text
    assert "RuntimeError: it broke" in text
    assert "hunter2'" not in text


class Stream(io.StringIO):
    """Says when it was flushed."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed = asyncio.Event()

    def flush(self) -> None:
        self.flushed.set()


async def test_lines_are_written_together_a_moment_later_and_at_once_when_something_is_wrong() -> (
    None
):
    stream = Stream()
    lines = Lines(stream, lambda _, level, event: f"{event['timestamp']} {level} {event['event']}")
    lines.info(timestamp=0.0, level="info", event="first")
    assert stream.getvalue() == ""
    lines.error(timestamp=1.5, level="error", event="wrong")
    both = "1970-01-01T00:00:00.000000Z info first\n1970-01-01T00:00:01.500000Z error wrong\n"
    assert stream.getvalue() == both
    stream.flushed.clear()
    lines.info(timestamp=2.0, level="info", event="last")
    async with asyncio.timeout(10):
        await stream.flushed.wait()
    assert stream.getvalue() == both + "1970-01-01T00:00:02.000000Z info last\n"


def test_a_value_that_is_not_plain_text_can_not_pretend_to_be_another_line() -> None:
    event = {"timestamp": "T", "level": "info", "event": "call", "name": "a\nT [error   ] broken"}
    assert plain(None, "info", event) == r"T [info    ] call         name='a\nT [error   ] broken'"


def test_people_get_neither_microseconds_nor_the_name_of_the_service_twice() -> None:
    event = {"timestamp": "2026-11-27T03:00:00.123456Z", "level": "info", "event": "call"}
    line = plain(None, "info", event | {"service": "auth", "code": "OK"})
    assert line == "2026-11-27T03:00:00 [info    ] call         code=OK"
