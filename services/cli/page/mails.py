"""The mails in the sink, as the local page shows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

from services.cli.mailfolder import SunkMail, newest_first, read_mail

SHOWN_MAX: Final = 50
SEARCHED_MAX: Final = 2000


class MailBox:
    """Reads the folder of the sink.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder

    def newest(self, to: str = "") -> list[SunkMail]:
        """Return the newest mails, or those of them that went to an address."""
        return list(islice((mail for mail in self._all() if mail.is_to(to)), SHOWN_MAX))

    def find(self, name: str) -> SunkMail | None:
        """Return the mail of a name; None: there is none."""
        for path in newest_first(self._folder):  # so a name leads to no other file
            if path.stem == name:
                with suppress(FileNotFoundError):
                    return read_mail(path)
        return None

    def _all(self) -> Iterator[SunkMail]:
        for path in newest_first(self._folder)[:SEARCHED_MAX]:
            with suppress(FileNotFoundError):  # just deleted
                yield read_mail(path)
