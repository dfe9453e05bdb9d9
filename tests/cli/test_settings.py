"""Settings: derived, validated as a whole, shown without secrets."""

import json
from pathlib import Path

import pytest

from services.auth.settings import AuthSettings
from services.cli import running
from services.cli.system import SETTINGS, System
from services.commerce.settings import CommerceSettings
from services.common.settings import (
    CommonSettings,
    SettingsError,
    as_environment,
    load,
    load_all,
    masked,
    variable,
)
from services.profile.settings import ProfileSettings
from tests.cli.conftest import ROOT, Lockstep, finish


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for cls in SETTINGS.values():
        for name in cls.model_fields:
            monkeypatch.delenv(variable(name), raising=False)


def test_everything_has_a_default(tmp_path: Path) -> None:
    settings = load(AuthSettings)

    assert settings.home == tmp_path / ".lockstep"
    assert settings.keys == tmp_path / ".lockstep" / "keys"
    assert settings.profile_address == "127.0.0.1:50052"
    assert settings.smtp_url == "smtp://127.0.0.1:50025"
    assert settings.bcrypt_cost == 12
    assert settings.address_limits is True


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_AUTH_PORT", "")

    assert load(AuthSettings).auth_port == 50051


def test_one_server_url_gives_each_service_its_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_DATABASE_URL", "postgresql://u:p@db:5432/postgres?sslmode=require")
    monkeypatch.setenv("LOCKSTEP_PROFILE_DATABASE_URL", "postgresql://elsewhere/p")

    assert load(AuthSettings).auth_database_url == (
        "postgresql://u:p@db:5432/authdb?sslmode=require"
    )
    assert load(ProfileSettings).profile_database_url == "postgresql://elsewhere/p"
    assert load(CommerceSettings).commerce_database_url == (
        "postgresql://u:p@db:5432/commercedb?sslmode=require"
    )


def test_every_worker_is_in_the_address_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_WORKERS", "3")
    monkeypatch.setenv("LOCKSTEP_HOST", "0.0.0.0")

    assert load(AuthSettings).auth_address == "127.0.0.1:50051,127.0.0.1:50151,127.0.0.1:50251"


@pytest.mark.parametrize(
    ("env", "cost", "is_right"),
    [("prod", "10", True), ("prod", "9", False), ("test", "4", True), ("test", "3", False)],
)
def test_cheap_password_hashes_are_for_tests_only(
    monkeypatch: pytest.MonkeyPatch, env: str, cost: str, is_right: bool
) -> None:
    monkeypatch.setenv("LOCKSTEP_ENV", env)
    monkeypatch.setenv("LOCKSTEP_BCRYPT_COST", cost)

    if is_right:
        assert load(AuthSettings).bcrypt_cost == int(cost)
    else:
        with pytest.raises(SettingsError, match=r"LOCKSTEP_BCRYPT_COST is '\d', but must be"):
            load(AuthSettings)


def test_everything_wrong_is_told_at_once_each_with_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = {
        "LOCKSTEP_ENV": "staging",
        "LOCKSTEP_AUTH_PORT": "99999",
        "LOCKSTEP_PROFILE_ADDRESS": "nowhere",
        "LOCKSTEP_DATABASE_URL": "mysql://u:hunter2@h",
        "LOCKSTEP_SMTP_URL": "http://u:hunter2@h",
        "LOCKSTEP_CURRENCY": "dollar",
        "LOCKSTEP_ADDRESS_LIMITS": "perhaps",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as caught:
        load_all(*SETTINGS.values())

    told = {problem.split()[0] for problem in caught.value.problems}
    assert told == wrong.keys()
    assert len(caught.value.problems) == len(wrong)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("cls", SETTINGS.values())
def test_settings_survive_the_way_through_the_environment(
    monkeypatch: pytest.MonkeyPatch, cls: type[CommonSettings]
) -> None:
    monkeypatch.setenv("LOCKSTEP_ADDRESS_LIMITS", "off")
    monkeypatch.setenv("LOCKSTEP_WORKERS", "2")
    before = load(cls)

    for name, value in as_environment(before).items():
        monkeypatch.setenv(name, value)

    assert load(cls) == before


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgresql://u:p%40ss@h:5432/d", "postgresql://u:***@h:5432/d"),
        (
            "postgresql:///d?host=/tmp&password=x&user=u",
            "postgresql:///d?host=/tmp&password=***&user=u",
        ),
        ("smtps://u:p@h", "smtps://u:***@h"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("127.0.0.1:50051,127.0.0.1:50151", "127.0.0.1:50051,127.0.0.1:50151"),
    ],
)
def test_passwords_are_masked_and_nothing_else(value: str, shown: str) -> None:
    assert masked(value) == shown


def test_the_table_masks_what_json_gives_to_programs(lockstep: Lockstep) -> None:
    url = "postgresql://u:hunter2@h/authdb"
    smtp = "smtp://u:hunter3@h:25"

    code, table, _ = finish(
        lockstep("settings", LOCKSTEP_AUTH_DATABASE_URL=url, LOCKSTEP_SMTP_URL=smtp)
    )
    _, text, _ = finish(
        lockstep("settings", "--json", LOCKSTEP_AUTH_DATABASE_URL=url, LOCKSTEP_SMTP_URL=smtp)
    )

    values = json.loads(text)
    assert code == 0
    assert "hunter" not in table
    assert values["LOCKSTEP_AUTH_DATABASE_URL"] == url
    assert values["LOCKSTEP_PROFILE_DATABASE_URL"].startswith("postgresql:///profiledb?host=/")
    assert values["LOCKSTEP_SMTP_URL"] == "smtp://u:***@h:25"


def test_a_misspelt_setting_is_pointed_out(lockstep: Lockstep) -> None:
    code, output, errors = finish(lockstep("settings", "--json", LOCKSTEP_AUHT_PORT="1"))

    assert (code, json.loads(output)["LOCKSTEP_HOST"]) == (0, "127.0.0.1")
    assert errors == (
        "lockstep: LOCKSTEP_AUHT_PORT is not a setting; did you mean LOCKSTEP_AUTH_PORT?\n"
    )


def test_wrong_settings_are_lines_not_a_traceback(lockstep: Lockstep) -> None:
    code, output, errors = finish(
        lockstep("settings", LOCKSTEP_AUTH_PORT="x", LOCKSTEP_PROFILE_PORT="-1")
    )

    assert (code, output) == (1, "")
    assert [line.split()[1] for line in errors.splitlines()] == [
        "LOCKSTEP_AUTH_PORT",
        "LOCKSTEP_PROFILE_PORT",
    ]


def test_the_manual_lists_every_setting_and_no_other() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text()
    rows = [line.split("|") for line in manual.splitlines() if line.startswith("| `LOCKSTEP_")]
    listed = {row[1].strip().strip("`"): row[2].strip().strip("`") for row in rows}
    fields = {name: field for cls in SETTINGS.values() for name, field in cls.model_fields.items()}

    assert set(listed) == {variable(name) for name in fields}
    for name, field in fields.items():
        if isinstance(field.default, bool):
            assert listed[variable(name)] == ("on" if field.default else "off")
        elif isinstance(field.default, int | float | str):
            assert listed[variable(name)] == str(field.default)


def test_a_url_may_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://u:hunter2@h/authdb"
    file = tmp_path / "url"
    file.write_text(f"{url}\n")
    monkeypatch.setenv("LOCKSTEP_AUTH_DATABASE_URL_FILE", str(file))
    assert load(AuthSettings).auth_database_url == url


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "is missing: put the URL into it"),
        (b"", "is empty: put the URL into it"),
        (b"\xff", "is damaged: it must hold a URL"),
        (b"nonsense://hunter2", "LOCKSTEP_AUTH_DATABASE_URL"),
    ],
)
def test_a_file_without_a_url_is_refused_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, text: str
) -> None:
    file = tmp_path / "url"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("LOCKSTEP_AUTH_DATABASE_URL_FILE", str(file))
    with pytest.raises(SettingsError, match=text) as refused:
        load(AuthSettings)
    assert "hunter2" not in str(refused.value)


def test_a_url_and_its_file_are_not_both_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_AUTH_DATABASE_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("LOCKSTEP_AUTH_DATABASE_URL", "postgresql:///authdb")
    with pytest.raises(SettingsError, match="are both set: set one of them"):
        load(AuthSettings)


def test_a_program_of_up_gets_a_url_that_is_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, file = "nats://relay:hunter2@localhost:4222", tmp_path / "url"
    file.write_text(url)
    monkeypatch.setenv("LOCKSTEP_HOME", str(tmp_path))
    monkeypatch.setenv("LOCKSTEP_NATS_URL_FILE", str(file))
    for program in (running.relay(System()), *running.workers(System(), "auth")):
        with monkeypatch.context() as patch:
            patch.setattr("os.environ", dict(program.environment or {}))
            assert load(CommonSettings).nats_url == url
