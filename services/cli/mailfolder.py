"""The folder of the mail sink: its mails; what is old goes, because it may hold codes."""

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage, MIMEPart
from email.utils import parsedate_to_datetime
from pathlib import Path

KEPT = timedelta(days=30)
"""How long the sink keeps mail by itself."""


@dataclass(frozen=True, slots=True)
class SunkMail:
    """A mail in the sink. A header that is missing is empty.

    Attributes:
        name: The name of its file, without the ending.
        time: When it was sent; when the sink took it, if its date cannot be read.
        text: Its plain text; None: it has none.
        html: Its HTML; None: it has none.
        attachments: The names of its attachments.
    """

    name: str
    sender: str
    to: str
    subject: str
    date: str
    time: datetime
    text: str | None
    html: str | None
    attachments: tuple[str, ...]

    def is_to(self, address: str) -> bool:
        """Return whether it went to an address; a part of one will do."""
        return address.strip().lower() in self.to.lower()


def newest_first(folder: Path) -> list[Path]:
    """Return the files of all mails, the newest first."""
    return sorted(folder.glob("*.eml"), reverse=True)


def read_mail(path: Path) -> SunkMail:
    """Read a mail, as well as it can be read: anybody may have sent it.

    Raises:
        FileNotFoundError: It was deleted.
    """
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    date = _header(message, "date")
    return SunkMail(
        name=path.stem,
        sender=_header(message, "from"),
        to=_header(message, "to"),
        subject=_header(message, "subject"),
        date=date,
        time=_time(date) or datetime.fromtimestamp(path.stat().st_mtime, UTC),
        text=_body(message, "plain"),
        html=_body(message, "html"),
        attachments=_attachments(message),
    )


def prune(folder: Path, *, older_than: timedelta) -> int:
    """Delete old mail, and what a killed sink left of a mail; return the number of mails."""
    oldest = time.time() - older_than.total_seconds()
    deleted = 0
    for path in [*folder.glob("*.eml"), *folder.glob(".*.tmp")]:
        with suppress(FileNotFoundError):  # another process was faster
            if path.stat().st_mtime < oldest:
                path.unlink()
                deleted += path.suffix == ".eml"
    return deleted


def _header(message: EmailMessage, name: str) -> str:
    try:
        return str(message[name] or "")
    except Exception:  # noqa: BLE001 - Python's parser fails on some, such as `To: <`
        found = (value for key, value in message.raw_items() if key.lower() == name)
        return str(next(found, ""))


def _time(date: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(date)
    except (ValueError, TypeError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _body(message: EmailMessage, kind: str) -> str | None:
    part: MIMEPart | None = None
    try:
        part = message.get_body((kind,))
        return None if part is None else str(part.get_content())
    except Exception:  # noqa: BLE001 - such as a character set that nobody knows
        content = part.get_payload(decode=True) if part is not None else None
        return content.decode(errors="replace") if isinstance(content, bytes) else None


def _attachments(message: EmailMessage) -> tuple[str, ...]:
    try:
        return tuple(part.get_filename() or "no name" for part in message.iter_attachments())
    except Exception:  # noqa: BLE001 - a mail whose parts do not fit together
        return ()
