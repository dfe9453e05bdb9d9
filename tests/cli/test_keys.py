"""Keys: one process makes them, only their owner reads them, and they rotate without a gap."""

import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from services.common.key_files import (
    TOKEN_OVERLAP_SECONDS,
    initialise,
    list_token_keys,
    retire_token_key,
    rotate_token_key,
)
from services.common.keys import SECRETS, SERVICES, KeyRing, KeysError, SigningKeys
from tests.cli.conftest import ROOT, Lockstep, finish


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    initialise(tmp_path / "keys")
    return tmp_path / "keys"


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_a_service_signs_the_others_can_verify(folder: Path) -> None:
    message, algorithm = b"it is me", ec.ECDSA(hashes.SHA256())
    auth, profile = KeyRing.load(folder, "auth"), KeyRing.load(folder, "profile")

    profile.trusted["auth"].verify(auth.private_key.sign(message, algorithm), message, algorithm)

    assert set(profile.trusted) == set(SERVICES)
    assert {name: list(KeyRing.load(folder, name).secrets) for name in SERVICES} == {
        "auth": list(SECRETS["auth"]),
        "profile": ["requests"],
        "commerce": ["requests"],
        "gateway": [],
        "operator": [],
    }


def test_only_the_owner_can_read_the_keys(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.rglob("*"):
        wanted = 0o700 if path.is_dir() else 0o600
        assert path.name == ".lock" or stat.S_IMODE(path.stat().st_mode) == wanted


def test_a_second_initialisation_changes_nothing(folder: Path) -> None:
    before = contents(folder)

    assert initialise(folder) == []
    assert contents(folder) == before


def test_a_new_service_gets_a_key_and_the_others_keep_theirs(folder: Path) -> None:
    before = contents(folder)

    assert initialise(folder, [*SERVICES, "shipping"]) == ["shipping"]

    assert "shipping" in KeyRing.load(folder, "auth").trusted
    assert (
        contents(folder).items()
        >= {path: text for path, text in before.items() if path.suffix == ".pem"}.items()
    )


def test_a_trusted_service_whose_private_key_is_elsewhere_gets_no_new_one(folder: Path) -> None:
    shutil.rmtree(folder / "profile")

    assert initialise(folder) == []
    assert not (folder / "profile").exists()
    with pytest.raises(KeysError, match="copy the folder of this service from where it was made"):
        KeyRing.load(folder, "profile")


def test_processes_that_race_end_with_one_set_of_keys(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from services.common.key_files import initialise; sys.stdin.read(1); "
        "print(','.join(initialise(pathlib.Path(sys.argv[1]))))"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "keys")],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]

    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("!")
        racer.stdin.flush()
    made = [racer.communicate(timeout=30)[0].strip() for racer in racers]

    assert sorted(made) == ["", ",".join(SERVICES)]
    for service in SERVICES:
        ring = KeyRing.load(tmp_path / "keys", service)
        assert ring.private_key.public_key() == ring.trusted[service]


def test_missing_keys_are_one_line_that_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match=r"trusted.json is missing: run `lockstep keys init`"):
        KeyRing.load(tmp_path, "auth")
    with pytest.raises(KeysError, match="run `lockstep keys init`"):
        SigningKeys.load(tmp_path)


def test_a_broken_key_is_told_without_its_content(folder: Path) -> None:
    (folder / "auth" / "identity.pem").write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n")

    with pytest.raises(KeysError, match="must hold a private key") as caught:
        KeyRing.load(folder, "auth")
    assert "c2VjcmV0" not in str(caught.value)


def test_a_running_service_sees_a_rotation(folder: Path) -> None:
    running = SigningKeys.load(folder)
    old, _ = running.signing

    new = rotate_token_key(folder)

    assert running.signing[0] == new
    assert set(running.verifying) == {old, new}


def test_a_rotated_key_verifies_until_its_last_token_has_expired(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = SigningKeys.load(folder)
    old, _ = running.signing
    begin = time.time()
    rotate_token_key(folder)

    monkeypatch.setattr("time.time", lambda: begin + 6 * 3600)
    assert old in running.verifying
    monkeypatch.setattr("time.time", lambda: begin + TOKEN_OVERLAP_SECONDS + 60)
    assert old not in running.verifying


def test_a_rotation_forgets_keys_that_no_longer_verify(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = SigningKeys.load(folder).signing[0]
    second = rotate_token_key(folder)
    later = time.time() + TOKEN_OVERLAP_SECONDS + 60
    monkeypatch.setattr("time.time", lambda: later)

    third = rotate_token_key(folder)

    assert [key.kid for key in list_token_keys(folder)] == [third, second]
    assert not (folder / "auth" / "tokens" / f"{old}.pem").exists()


def test_a_retired_key_is_refused_at_once(folder: Path) -> None:
    running = SigningKeys.load(folder)
    old, _ = running.signing
    new = rotate_token_key(folder)

    retire_token_key(folder, old)

    assert set(running.verifying) == {new}


def test_the_key_that_signs_cannot_be_retired(folder: Path) -> None:
    active = SigningKeys.load(folder).signing[0]

    with pytest.raises(KeysError, match="run `lockstep keys rotate` first"):
        retire_token_key(folder, active)
    with pytest.raises(KeysError, match="there is no token key nonsense"):
        retire_token_key(folder, "nonsense")


def test_the_command_makes_lists_rotates_and_retires(lockstep: Lockstep) -> None:
    assert "made keys for auth, profile" in finish(lockstep("keys", "init"))[1]
    rotated = finish(lockstep("keys", "rotate"))[1].split()[-1]
    listed = finish(lockstep("keys", "list"))[1]
    active = next(line for line in listed.splitlines() if rotated in line)
    code, _, errors = finish(lockstep("keys", "retire", rotated))

    assert "signs" in active
    assert listed.count("verifies") == 1
    assert (code, errors.count("\n")) == (1, 1)


def test_the_command_makes_the_keys_of_a_further_service_alone(
    lockstep: Lockstep, home: Path
) -> None:
    finish(lockstep("keys", "init"))
    before = contents(home / "keys")

    code, output, _ = finish(lockstep("keys", "init", "--service", "shipping"))

    assert (code, "made keys for shipping\n" in output) == (0, True)
    after = contents(home / "keys")
    new = {str(path.relative_to(home / "keys")) for path in after.keys() - before.keys()}
    assert new == {"shipping/identity.pem", "shipping/requests"}
    changed = {path.name for path in before if before[path] != after[path]}
    assert changed == {"trusted.json"}
    assert KeyRing.load(home / "keys", "shipping").secrets["requests"].digest(b"x")
    assert "shipping" in KeyRing.load(home / "keys", "auth").trusted
    assert "complete" in finish(lockstep("keys", "init"))[1]


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "1a", "x" * 31, "ä"])
def test_a_name_that_no_service_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeysError, match="cannot name a service"):
        initialise(tmp_path / "keys", [name])
    assert not (tmp_path / "keys").exists()
