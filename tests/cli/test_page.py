"""The local page only reads, answers this machine alone, and shows strangers' words as text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient

from services.cli.errors import CommandError
from services.cli.page import looks
from services.cli.page.app import LocalPage, PagePlaces
from services.cli.page.logs import last_entries
from services.cli.page.looks import SharedLook
from services.cli.page.texts import ago, span_of
from tests.ports import settings_of_ports

PAGES = ("/", "/sagas", "/errors", "/mail", "/static/page.css", "/static/page.js")
MAIL = b"""\
From: Lockstep <no-reply@lockstep.example>
To: ada@example.com
Subject: <b>123456</b> is your code
Date: Fri, 27 Nov 2026 07:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=x

--x
Content-Type: text/plain; charset=utf-8

Enter <script>alert(1)</script> 123456
--x
Content-Type: text/html; charset=utf-8

<p onclick="alert(1)">Enter <script>alert(1)</script> 123456</p>
--x--
"""


@pytest.fixture
def places(home: Path, monkeypatch: pytest.MonkeyPatch) -> PagePlaces:
    """Make a data folder in which nothing runs."""
    for name in ("mail", "logs"):
        (home / name).mkdir(parents=True)
    for name, value in (settings_of_ports() | {"LOCKSTEP_HOME": str(home)}).items():
        monkeypatch.setenv(name, value)
    return PagePlaces(home=home, gateway="http://127.0.0.1:8080", has_shop=True, has_sink=True)


@pytest.fixture
async def page(places: PagePlaces) -> AsyncIterator[AsyncClient]:
    """Ask the page as a browser on this machine does."""
    async with client_of(places) as client:
        yield client


def client_of(places: PagePlaces) -> AsyncClient:
    transport = ASGITransport(LocalPage(places).application())
    return AsyncClient(transport=transport, base_url="http://localhost:9070")


def put(places: PagePlaces, name: str, content: bytes) -> None:
    (places.home / "mail" / f"{name}.eml").write_bytes(content)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1:9070", ""])
async def test_other_hosts_are_refused(page: AsyncClient, host: str) -> None:
    for path in PAGES:
        assert (await page.get(path, headers={"Host": host})).status_code == 400


@pytest.mark.parametrize("host", ["localhost:9070", "127.0.0.1:9070", "[::1]:9070", "LOCALHOST"])
async def test_this_machine_is_answered_by_each_of_its_names(page: AsyncClient, host: str) -> None:
    assert (await page.get("/errors", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_nothing_can_be_changed(page: AsyncClient, method: str) -> None:
    for path in (*PAGES, "/mail/a", "/mail/a/html", "/sagas/0198a000-0000-7000-8000-000000000001"):
        assert (await page.request(method, path)).status_code == 405, path


async def test_every_answer_tells_browsers_to_keep_other_sites_out(page: AsyncClient) -> None:
    asked = {
        path: (await page.get(path)) for path in (*PAGES, "/nothing", "/mail/nothing", "/sagas/1")
    }
    asked["a refused host"] = await page.get("/", headers={"Host": "evil.example"})
    asked["a refused method"] = await page.post("/")
    for path, answer in asked.items():
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'"), path
        assert "unsafe" not in policy
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


async def test_a_mail_is_shown_as_text_and_its_html_in_a_frame_without_rights(
    page: AsyncClient, places: PagePlaces
) -> None:
    put(places, "one", MAIL)

    shown = (await page.get("/mail/one")).text
    assert "<script>alert" not in shown
    assert "&lt;b&gt;123456&lt;/b&gt; is your code" in shown
    assert "Enter &lt;script&gt;alert(1)&lt;/script&gt; 123456" in shown
    assert '<iframe sandbox src="/mail/one/html"' in shown

    framed = await page.get("/mail/one/html")
    assert framed.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert "script-src" not in framed.headers["content-security-policy"]


async def test_mail_is_found_by_address(page: AsyncClient, places: PagePlaces) -> None:
    put(places, "1", MAIL)
    put(places, "2", MAIL.replace(b"ada@", b"grace@"))
    assert (await page.get("/mail")).text.count("<tr>") == 1 + 2
    hers = (await page.get("/mail", params={"to": " Grace@example.com "})).text
    assert (hers.count("<tr>"), "/mail/2" in hers) == (1 + 1, True)
    nobody = (await page.get("/mail", params={"to": '"><i>'})).text
    assert "There is no mail to &#34;&gt;&lt;i&gt;." in nobody


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00 no mail at all",
        MAIL.replace(b"utf-8", b"klingon"),
        MAIL.replace(b"Date: Fri, 27", b"Date: never, 99"),
        MAIL.replace(b"boundary=x", b"boundary="),
        b"Subject: =?utf-8?b?//8=?=\nTo: <\n\n" + b"x" * 100_000,
    ],
)
async def test_a_broken_mail_is_shown_as_well_as_it_can_be(
    page: AsyncClient, places: PagePlaces, content: bytes
) -> None:
    put(places, "broken", content)
    assert (await page.get("/mail")).text.count("/mail/broken") == 1
    assert (await page.get("/mail/broken")).status_code == 200


@pytest.mark.parametrize(
    "name", ["..%2fsecret", "%2e%2e%2fsecret", "*", "missing", "a%00b", "..%2f..%2fetc%2fpasswd"]
)
async def test_a_name_leads_to_no_other_file(
    page: AsyncClient, places: PagePlaces, name: str
) -> None:
    (places.home / "secret.eml").write_bytes(MAIL)
    for path in (f"/mail/{name}", f"/mail/{name}/html", f"/static/{name}"):
        assert (await page.get(path)).status_code == 404, path


async def test_without_the_sink_there_is_no_mail(places: PagePlaces) -> None:
    put(places, "one", MAIL)
    real = replace(places, has_shop=False, has_sink=False)
    async with client_of(real) as page:
        assert (await page.get("/mail")).status_code == 404
        assert (await page.get("/mail/one")).status_code == 404
        shown = (await page.get("/errors")).text
    assert "/mail" not in shown
    assert ">Shop<" not in shown


async def test_while_nothing_runs_the_page_says_so(page: AsyncClient) -> None:
    shown = (await page.get("/")).text
    assert "auth is NOT_SERVING" in shown
    assert "schema of auth: the embedded PostgreSQL does not run" in shown
    for path in ("/sagas", "/sagas/0198a000-0000-7000-8000-000000000001"):
        answer = await page.get(path)
        assert answer.status_code == 200
        assert 'class="notice problem"' in answer.text


@pytest.mark.parametrize("path", ["/sagas?state=odd", "/errors?level=odd", "/sagas/x", "/odd"])
async def test_what_is_not_there_is_404(page: AsyncClient, path: str) -> None:
    answer = await page.get(path)
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text


LOG = """\
    of a traceback whose beginning is gone
2026-11-27T07:00:01 [info    ] call         method=Login
2026-11-27T07:00:02 [warning ] mail postponed error=<i>refused</i>
2026-11-27T07:00:03 [error   ] unexpected   trace_id=1
Traceback (most recent call last):
ValueError: no
"""
POSTGRES = """\
2026-11-27 07:00:04.120 UTC LOG:  starting PostgreSQL
2026-11-27 07:00:05.120 UTC FATAL:  the database system is starting up
"""


def test_errors_of_every_form_of_log_are_shown_newest_first(places: PagePlaces) -> None:
    folder = places.home / "logs"
    (folder / "auth.log").write_text(LOG)
    (folder / "postgres.log").write_text(POSTGRES)
    wrapped = {"timestamp": "2026-11-27T07:00:09Z", "level": "info", "service": "postgres"}
    lines = [
        ["no", "object"],
        {"timestamp": "2026-11-27T07:00:06.1Z", "level": "error", "event": "odd", "reason": "NO"},
        {
            "timestamp": "2026-11-27T07:00:07.1Z",
            "level": "critical",
            "event": "x",
            "exception": "T",
        },
        wrapped | {"event": "2026-11-27 07:00:08.1 UTC PANIC:  could not write"},
    ]
    (folder / "profile.log").write_bytes(b"\n".join(json.dumps(each).encode() for each in lines))
    (folder / "mail.log").write_bytes(b"\xff\xfe{ nothing \x00 readable\n{\n")

    found = [
        (each.time[-2:], each.process, each.level, each.text)
        for each in last_entries(folder, level="error", most=10)
    ]
    assert found == [
        ("08", "profile", "critical", "PANIC: could not write"),
        ("07", "profile", "critical", "x\nT"),
        ("06", "profile", "error", "odd reason=NO"),
        ("05", "postgres", "error", "FATAL: the database system is starting up"),
        (
            "03",
            "auth",
            "error",
            "unexpected trace_id=1\nTraceback (most recent call last):\nValueError: no",
        ),
    ]
    assert len(last_entries(folder, level="warning", most=10)) == 6
    assert len(last_entries(folder, level="error", most=2)) == 2
    assert [
        each.process for each in last_entries(folder, level="info", text="trace_id", most=9)
    ] == ["auth"]


async def test_a_log_is_shown_as_text(page: AsyncClient, places: PagePlaces) -> None:
    (places.home / "logs" / "auth.log").write_text(LOG)
    shown = (await page.get("/errors?level=warning")).text
    assert "&lt;i&gt;refused&lt;/i&gt;" in shown
    assert "<i>" not in shown


def test_a_long_log_costs_only_its_end(places: PagePlaces) -> None:
    path = places.home / "logs" / "auth.log"
    with path.open("wb") as file:
        file.truncate(5 * 2**30)  # takes no space
        file.seek(0, 2)
        file.write(f"\n{LOG}".encode())
    assert len(last_entries(path.parent, level="error", most=10)) == 1


async def test_a_look_that_hangs_has_an_end_and_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "LOOK_SECONDS", 0.05)
    started, free = list[int](), asyncio.Event()

    async def hang() -> str:
        started.append(1)
        await free.wait()
        return "found"

    look = SharedLook("the hare", hang)
    seen = await asyncio.gather(look(), look(), look())
    assert {each.trouble for each in seen} == {"the hare did not answer in 0 s"}
    assert len(started) == 1
    free.set()
    assert (await look()).found == "found"
    assert (await look()).found == "found"
    assert len(started) == 2


async def test_a_look_tells_an_expected_failure_and_raises_a_bug() -> None:
    async def refuse() -> None:
        raise CommandError("auth cannot be reached: start it")

    async def fail() -> None:
        raise ZeroDivisionError

    assert (await SharedLook("x", refuse)()).trouble == "auth cannot be reached: start it"
    with pytest.raises(ZeroDivisionError):
        await SharedLook("x", fail)()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (3, "3 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 days")],
)
def test_ages_are_told_in_their_largest_unit(seconds: int, text: str) -> None:
    assert span_of(seconds) == text


def test_an_age_is_counted_from_now() -> None:
    assert ago(datetime.now(UTC) - timedelta(days=2, hours=1)) == "2 days"
