"""A real SMTP server that writes every mail into a folder: `python -m services.cli.mailsink`."""

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aiosmtpd.smtp import SMTP, Envelope, Session

from services.cli.mailfolder import KEPT, prune
from services.common.files import problem_of

PRUNE_SECONDS: Final = 3600.0
MAIL_BYTES_MAX: Final = 10 * 1024 * 1024
FOR_OWNER_ONLY: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL


@dataclass(frozen=True)  # without slots: aiosmtpd reads every member, and Python 3.11.2 fails then
class Sink:
    """Writes mail into a folder as `<time>-<random>.eml`; such a file is always complete."""

    folder: Path

    async def handle_DATA(  # noqa: N802 - the name that aiosmtpd calls
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Take a mail, and answer the client when it is on disk."""
        try:
            await asyncio.to_thread(self._write, envelope.original_content or b"")
        except OSError as error:
            print(problem_of(error, self.folder, remedy="make it"), flush=True)
            return "452 4.3.1 The mail cannot be kept now"  # RFC 3463: the client tries again
        return "250 OK"

    def _write(self, content: bytes) -> None:
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}"
        partial = self.folder / f".{name}.tmp"
        try:
            with os.fdopen(os.open(partial, FOR_OWNER_ONLY, 0o600), "wb") as file:
                file.write(content)
            partial.rename(self.folder / f"{name}.eml")
        except OSError:  # such as a full disk, which half a mail must not fill further
            partial.unlink(missing_ok=True)
            raise


async def serve(folder: Path, host: str, port: int) -> None:
    """Take mail until SIGTERM or SIGINT."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    sink = Sink(folder)
    server = await loop.create_server(
        lambda: SMTP(sink, data_size_limit=MAIL_BYTES_MAX, enable_SMTPUTF8=True, loop=loop),
        host,
        port,
    )
    async with server:
        taken = server.sockets[0].getsockname()[1]
        print(f"mail to {host}:{taken} goes to {folder}", flush=True)
        while not stop.is_set():
            await asyncio.to_thread(_prune, folder)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PRUNE_SECONDS):
                    await stop.wait()


def _prune(folder: Path) -> None:
    try:
        deleted = prune(folder, older_than=KEPT)
    except OSError as error:
        print(f"old mail cannot be deleted: {error}", flush=True)
        return
    if deleted:
        print(f"deleted {deleted} mails older than {KEPT.days} days", flush=True)


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=50025, help="0 takes any free port")
    arguments = parser.parse_args()
    arguments.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    asyncio.run(serve(arguments.folder, arguments.host, arguments.port))


if __name__ == "__main__":
    main()
