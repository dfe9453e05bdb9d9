"""The mail sink, a real SMTP server whose files are always whole, and its commands."""

import contextlib
import json
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from services.cli.mailsink import Sink
from tests.cli.conftest import ROOT, Lockstep, finish
from tests.small_disk import fill, small_disk


@pytest.fixture
def sink(home: Path) -> Iterator[int]:
    """Run the sink on a free port, and return the port."""
    argv = ["-m", "services.cli.mailsink", "--folder", str(home / "mail"), "--port", "0"]
    with subprocess.Popen(
        [sys.executable, *argv], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline().split()[2].rsplit(":", 1)[1])
        process.terminate()
        assert process.wait(10) == 0


def send(port: int, to: str, code: str) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.com", to, "Your café code"
    message.set_content(f"Your code is {code}.\n.\nA line with one dot came before this one.")
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.send_message(message)


def test_mail_is_on_disk_when_the_client_has_its_answer(sink: int, home: Path) -> None:
    send(sink, "ada@example.com", "123456")

    (path,) = (home / "mail").iterdir()
    assert path.suffix == ".eml"
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"Your code is 123456." in path.read_bytes()


def test_a_reader_never_sees_half_a_mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Path]] = []
    rename = Path.rename

    def watch(partial: Path, target: Path) -> Path:
        seen.append(list(tmp_path.glob("*.eml")))
        assert partial.read_bytes() == b"whole"
        return rename(partial, target)

    monkeypatch.setattr(Path, "rename", watch)
    Sink(tmp_path)._write(b"whole")

    assert seen == [[]]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"whole"]


def test_mail_is_listed_newest_first_and_shown_as_text(sink: int, lockstep: Lockstep) -> None:
    send(sink, "ada@example.com", "111111")
    send(sink, "bob@example.com", "222222")

    table = finish(lockstep("mail", "list"))[1]
    latest = finish(lockstep("mail", "show", "--latest"))[1]
    hers = finish(lockstep("mail", "show", "--to", "Ada@example.com"))[1]

    assert table.index("bob@example.com") < table.index("ada@example.com")
    assert "Subject: Your café code" in latest
    assert "Your code is 222222." in latest
    assert "Your code is 111111." in hers
    shown = json.loads(finish(lockstep("mail", "show", "--latest", "--json"))[1])
    listed = json.loads(finish(lockstep("mail", "list", "--json"))[1].splitlines()[0])
    assert listed.items() <= shown.items()
    assert (shown["to"], shown["subject"]) == ("bob@example.com", "Your café code")
    assert shown["text"].startswith("Your code is 222222.\n")


def test_a_mail_that_is_not_there_is_one_line(lockstep: Lockstep) -> None:
    code, _, errors = finish(lockstep("mail", "show", "--latest"))

    assert (code, errors.count("\n")) == (1, 1)


def test_a_mail_that_python_cannot_parse_is_listed_all_the_same(
    lockstep: Lockstep, home: Path
) -> None:
    (home / "mail").mkdir(parents=True)
    (home / "mail" / "broken.eml").write_bytes(b"To: <\nSubject: odd\n\nhello\n")

    code, listed, _ = finish(lockstep("mail", "list"))
    assert (code, listed.split("\t")[:3]) == (0, ["broken", "<", "odd"])
    assert finish(lockstep("mail", "show", "broken"))[1].endswith("\n\nhello\n")


@pytest.mark.parametrize("limit", ["a full disk", "a limit of the user"])
def test_mail_that_cannot_be_kept_is_refused_for_now_and_told_in_one_line(
    home: Path, limit: str
) -> None:
    folder = home / "mail"
    folder.mkdir(parents=True)
    argv = [sys.executable, "-m", "services.cli.mailsink", "--folder", str(folder), "--port", "0"]
    with contextlib.ExitStack() as stack:
        if limit == "a full disk":
            stack.enter_context(small_disk(folder, size="64k"))
            fill(folder / "filler")
        else:
            argv = ["bash", "-c", 'ulimit -f 0; exec "$@"', "bash", *argv]
        process = stack.enter_context(
            subprocess.Popen(
                argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
        assert process.stdout is not None
        port = int(process.stdout.readline().split()[2].rsplit(":", 1)[1])
        with pytest.raises(smtplib.SMTPDataError) as refused:
            send(port, "ada@example.com", "123456")
        process.terminate()
        told = process.stdout.read()
        left = [each.name for each in folder.iterdir() if each.name != "filler"]
    assert (refused.value.smtp_code, left) == (452, [])
    [line] = told.splitlines()
    assert line.startswith(f"{folder} cannot be written (")
    assert line.endswith("make room on its disk, or raise the limit of its user")
