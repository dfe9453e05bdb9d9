"""Whatever is wrong with a file or folder that a start reads, it is told in one line."""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.common import cert_files
from services.common.key_files import initialise
from services.common.keys import SERVICES, secrets_of
from tests.cli.conftest import ROOT
from tests.cli.zygote import Zygote
from tests.small_disk import fill, small_disk

pytestmark = pytest.mark.processes

NOBODY = 65_534
IS_ROOT = os.getuid() == 0

Damage = Callable[[Path], object]


def as_locked_file(path: Path) -> None:
    path.touch()
    lock(path)


def as_locked_folder(path: Path) -> None:
    path.mkdir()
    lock(path)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    made = Zygote()
    yield made
    made.close()


@pytest.fixture
def keys(home: Path) -> Path:
    initialise(home / "keys")
    return home / "keys"


def halve(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_file(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("not a folder")


def lock(path: Path) -> None:
    path.chmod(0)


OF_FILES: dict[str, Damage] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut in half": halve,
    "garbage": lambda path: path.write_bytes(secrets.token_bytes(200)),
    "a folder": become_folder,
    "mode 000": lock,
}
OF_FOLDERS: dict[str, Damage] = {"missing": shutil.rmtree, "a file": become_file, "mode 000": lock}


def files_of(service: str) -> list[str]:
    files = [
        "trusted.json",
        *(f"{service}/{name}" for name in ("identity.pem", *secrets_of(service))),
    ]
    if service == "auth":
        files += ["auth/tokens/tokens.json", "auth/tokens/*.pem"]
    return files


def folders_of(service: str) -> list[str]:
    return [".", service, *(["auth/tokens"] if service == "auth" else [])]


def as_user(home: Path, damage: str) -> int | None:
    """Return whose the process is: modes do not hold root up."""
    if not IS_ROOT or damage != "mode 000":
        return None
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(home.parent)], check=True)
    return NOBODY


def assert_one_line(code: int, errors: str, *, prefix: str, names: Path | str) -> None:
    assert "Traceback" not in errors
    lines = errors.splitlines()
    assert (code, len(lines)) == (1, 1), errors
    assert lines[0].startswith(f"{prefix}: ")
    assert str(names) in lines[0]


KEY_CASES = [
    (service, path, damage)
    for service in ("auth", "profile", "gateway")
    for paths, damages in ((files_of(service), OF_FILES), (folders_of(service), OF_FOLDERS))
    for path in paths
    for damage in damages
]


@pytest.mark.parametrize("case", KEY_CASES, ids=" ".join)
def test_a_service_tells_what_is_wrong_with_its_keys(
    zygote: Zygote, keys: Path, environment: dict[str, str], case: tuple[str, str, str]
) -> None:
    service, path, damage = case
    (found,) = keys.glob(path) if "*" in path else [keys / path]
    given = (OF_FOLDERS | OF_FILES)[damage] if found.is_file() else (OF_FILES | OF_FOLDERS)[damage]
    uid = as_user(keys.parent, damage)
    given(found)

    code, _, errors = zygote.run(f"services.{service}", environment=environment, uid=uid)

    assert_one_line(code, errors, prefix=service, names=keys)


COMMAND_CASES = [
    (arguments, path, damage)
    for arguments in (("up",), ("keys", "init"))
    for service in SERVICES
    for path in files_of(service)
    for damage in OF_FILES
    # What is missing is made; of the keys that are not here, nothing is known.
    if damage != "missing" and (path != "trusted.json" or service == "auth")
] + [
    (arguments, folder, "a file")
    for arguments in (("up",), ("keys", "init"))
    for folder in (".", "auth", "profile", "auth/tokens", ".lock")
]
# It needs all of them, and the identity of a service that is trusted already is not made anew.
COMMAND_CASES += [
    (("up",), f"{service}/identity.pem", "missing") for service in ("auth", "commerce", "gateway")
]


def bytes_of(path: Path) -> bytes | None:
    """Return the content of a file that its owner may not read; None: it is no file."""
    if not path.is_file():
        return None
    mode = path.stat().st_mode
    path.chmod(0o600)
    try:
        return path.read_bytes()
    finally:
        path.chmod(mode)


@pytest.mark.parametrize("case", COMMAND_CASES, ids=lambda case: " ".join((*case[0], *case[1:])))
def test_the_command_tells_what_is_wrong_with_the_keys_and_replaces_none(
    zygote: Zygote,
    keys: Path,
    environment: dict[str, str],
    case: tuple[tuple[str, ...], str, str],
) -> None:
    arguments, path, damage = case
    (found,) = keys.glob(path) if "*" in path else [keys / path]
    uid = as_user(keys.parent, damage)
    if path == ".lock":
        become_folder(found)
    else:
        (OF_FILES | {"a file": become_file})[damage](found)
    before = bytes_of(found)

    code, _, errors = zygote.run("services.cli", *arguments, environment=environment, uid=uid)

    assert_one_line(code, errors, prefix="lockstep", names=keys)
    assert before == bytes_of(found)


def make_cluster(home: Path) -> Path:
    path = home / "postgres" / "data" / "PG_VERSION"
    path.parent.mkdir(parents=True)
    path.write_text("18\n")
    return path


def as_folder(path: Path) -> None:
    path.mkdir(parents=True)


HOME_CASES: dict[str, tuple[str, Damage]] = {
    "the data folder is a file": (".", become_file),
    "the data folder is locked": (".", lock),
    "the lock is a folder": ("up.lock", as_folder),
    "a pid file is a folder": ("run/auth.pid", as_folder),
    "a pid file is locked": (
        "run/auth.pid",
        as_locked_file,
    ),
    **{
        f"{name}/ is a file": (name, become_file)
        for name in ("run", "logs", "mail", "own-keys", "postgres")
    },
    **{
        f"{name}/ is locked": (name, as_locked_folder)
        for name in ("run", "logs", "mail", "own-keys", "postgres")
    },
    "the own keys of a service are a file": ("own-keys/auth", become_file),
    "a link to keys is a folder": ("own-keys/auth/trusted.json", as_folder),
    "the cluster is a file": ("postgres/data", become_file),
    "the cluster has no version": ("postgres/data", as_folder),
    "the version is empty": ("postgres/data/PG_VERSION", Path.touch),
    "the version is garbage": (
        "postgres/data/PG_VERSION",
        lambda path: path.write_bytes(b"\xff18"),
    ),
    "the version is another one": (
        "postgres/data/PG_VERSION",
        lambda path: path.write_text("12\n"),
    ),
    "the version is a folder": ("postgres/data/PG_VERSION", as_folder),
    "the server's pid file is a folder": ("postgres/data/postmaster.pid", as_folder),
}


@pytest.mark.parametrize("case", HOME_CASES)
def test_up_tells_what_is_wrong_with_the_data_folder(
    zygote: Zygote, home: Path, environment: dict[str, str], case: str
) -> None:
    path, damage = HOME_CASES[case]
    home.mkdir(mode=0o700)
    if path.startswith("postgres/data/"):
        make_cluster(home)
        if path.endswith("PG_VERSION"):
            (home / path).unlink()
    elif "/" in path and "is a folder" not in case:
        (home / path).parent.mkdir(exist_ok=True)
    uid = None
    if "locked" in case:
        uid = as_user(home, "mode 000")
        os.chown(home, NOBODY, NOBODY) if IS_ROOT else None
    damage(home / path)
    if uid is not None:
        for found in (home / path, (home / path).parent):
            os.chown(found, uid, uid)

    code, _, errors = zygote.run("services.cli", "up", environment=environment, uid=uid)

    assert_one_line(code, errors, prefix="lockstep", names=home)


@pytest.mark.parametrize("place", ["/proc/lockstep", "/dev/null/home", "/sys/lockstep"])
@pytest.mark.parametrize("arguments", [("up",), ("keys", "init")])
def test_a_place_where_nothing_can_be_made_is_told(
    zygote: Zygote, environment: dict[str, str], arguments: tuple[str, ...], place: str
) -> None:
    where = environment | {"LOCKSTEP_HOME": place}

    code, _, errors = zygote.run("services.cli", *arguments, environment=where)

    assert_one_line(code, errors, prefix="lockstep", names=place)


@pytest.mark.parametrize("arguments", [("up",), ("keys", "init")])
def test_a_full_disk_is_told_and_leaves_no_half_file(
    zygote: Zygote, home: Path, environment: dict[str, str], arguments: tuple[str, ...]
) -> None:
    with small_disk(home, size="64k"):
        fill(home / "filler")
        code, _, errors = zygote.run("services.cli", *arguments, environment=environment)

        assert_one_line(code, errors, prefix="lockstep", names=home)
        assert "No space left" in errors
        assert [
            path
            for path in home.rglob("*")
            if path.is_file() and path.stat().st_size == 0 and not path.name.endswith("lock")
        ] == []


@pytest.mark.parametrize("option", ["--descriptors", "--upstream-tls"])
@pytest.mark.parametrize("damage", OF_FILES)
def test_the_gateway_tells_what_is_wrong_with_a_file_of_its_arguments(
    zygote: Zygote, home: Path, environment: dict[str, str], option: str, damage: str
) -> None:
    home.mkdir()
    good, path = home / "good.binpb", home / "file"
    from services.gateway import lockstep

    good.write_bytes(lockstep.own_descriptors())
    path.write_bytes(lockstep.own_descriptors())
    uid = as_user(home, damage)
    OF_FILES[damage](path)
    upstream = ("--upstream", "lockstep.auth.v1.AuthService=127.0.0.1:9")
    files = {"--descriptors": good, option: path}
    arguments = [part for name, each in files.items() for part in (name, str(each))]

    code, _, errors = zygote.run(
        "services.gateway", *arguments, *upstream, environment=environment, uid=uid
    )

    assert_one_line(code, errors, prefix="gateway", names=path)


CERTIFICATE_CASES = [
    (service, path, damage)
    for service in ("auth", "gateway", "edge")
    for path in ("ca.pem", "{}/cert.pem", "{}/key.pem", ".", "{}")
    for damage in (OF_FILES if path.endswith(".pem") else OF_FOLDERS)
    if service != "edge" or path.startswith("{}/")
]


@pytest.mark.parametrize("case", CERTIFICATE_CASES, ids=" ".join)
def test_a_service_tells_what_is_wrong_with_its_certificates(
    zygote: Zygote, keys: Path, environment: dict[str, str], case: tuple[str, str, str]
) -> None:
    service, path, damage = case
    certs = keys.parent / "certs"
    cert_files.initialise(certs)
    found = certs / path.format("gateway" if service == "edge" else service)
    if service == "edge":
        names = {"CERT": "cert.pem", "KEY": "key.pem"}
        tls = {f"LOCKSTEP_GATEWAY_TLS_{n}": str(found.parent / at) for n, at in names.items()}
    else:
        tls = {"LOCKSTEP_TLS": "mutual"}
    uid = as_user(keys.parent, damage)
    (OF_FILES if path.endswith(".pem") else OF_FOLDERS)[damage](found)

    module = "gateway" if service == "edge" else service
    code, _, errors = zygote.run(f"services.{module}", environment=environment | tls, uid=uid)

    assert_one_line(code, errors, prefix=module, names=certs)


SITE_CASES = [
    *((".", damage) for damage in OF_FOLDERS),
    *(("index.html", damage) for damage in ("missing", "empty", "a folder", "mode 000")),
    ("app.js", "mode 000"),
]


@pytest.mark.parametrize("case", SITE_CASES, ids=" ".join)
def test_the_gateway_tells_what_is_wrong_with_its_site(
    zygote: Zygote, keys: Path, environment: dict[str, str], case: tuple[str, str]
) -> None:
    path, damage = case
    site = keys.parent / "site"
    site.mkdir()
    for name in ("index.html", "app.js"):
        (site / name).write_text("1")
    uid = as_user(keys.parent, damage)
    (OF_FOLDERS if path == "." else OF_FILES)[damage](site / path)
    given = environment | {"LOCKSTEP_GATEWAY_STATIC": str(site)}

    code, _, errors = zygote.run("services.gateway", environment=given, uid=uid)

    names = "app.js" if path == "app.js" else "LOCKSTEP_GATEWAY_STATIC"
    assert_one_line(code, errors, prefix="gateway", names=names)


WRONG_SETTINGS = [
    ("gateway", "GATEWAY_STATIC", "/nonexistent"),
    ("gateway", "GATEWAY_STATIC", "/etc/hostname"),
    ("gateway", "GATEWAY_ORIGINS", "["),
    ("gateway", "GATEWAY_ORIGINS", "[1]"),
    ("gateway", "GATEWAY_HEADERS", "host"),
    ("gateway", "GATEWAY_HEADERS", "x-lockstep-service"),
    ("gateway", "GATEWAY_HEADERS", "two words"),
    ("gateway", "GATEWAY_TRUSTED_PROXIES", "10.0.0.1/8"),
    ("gateway", "GATEWAY_TRUSTED_PROXIES", "everybody"),
    ("gateway", "AUTH_ADDRESS", "host"),
    ("gateway", "HOST", "nobody.invalid"),
    ("gateway", "HOST", "ü.."),
    ("gateway", "HOST", "192.0.2.1"),
    ("gateway", "KEYS", "/etc/hostname"),
    ("auth", "SMTP_URL", "smtp://host:99999"),
    ("auth", "SMTP_URL", "smtp://[::1"),
    ("auth", "SMTP_URL", "smtp://user:hunter2@:25"),
    ("auth", "AUTH_DATABASE_URL", "postgresql://u:hunter2@[::1"),
    ("auth", "AUTH_DATABASE_URL", "postgresql://h/x?nothing=1"),
    ("auth", "MAIL_FROM", "a\nb"),
    ("auth", "PRODUCT_NAME", "a\nb"),
    ("auth", "LINK_BASE", "shop.example.com"),
]


@pytest.mark.parametrize("case", WRONG_SETTINGS, ids=" ".join)
def test_a_wrong_setting_is_told_in_one_line(
    zygote: Zygote, keys: Path, environment: dict[str, str], case: tuple[str, str, str]
) -> None:
    service, name, value = case
    given = environment | {f"LOCKSTEP_{name}": value}

    code, _, errors = zygote.run(f"services.{service}", environment=given)

    assert_one_line(
        code,
        errors,
        prefix=service,
        names=value if name in {"HOST", "KEYS"} else f"LOCKSTEP_{name}",
    )
    assert "hunter2" not in errors


LOCALES: dict[str, dict[str, str]] = {
    "C": {"LC_ALL": "C"},
    "ASCII alone": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "POSIX": {"LC_ALL": "POSIX"},
    "UTF-8": {"LC_ALL": "C.UTF-8"},
    "de_DE": {"LC_ALL": "de_DE.UTF-8"},  # where it is missing, the system falls back to C
}


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("damage", ["missing", "garbage"])
def test_a_file_in_a_folder_of_any_name_is_told_in_any_locale(
    keys: Path, environment: dict[str, str], locale: str, damage: str
) -> None:
    folder = keys.rename(keys.parent / "Schlüssel 鍵")
    OF_FILES[damage](folder / "trusted.json")
    told = environment | {"LOCKSTEP_KEYS": str(folder)} | LOCALES[locale]

    run = subprocess.run(
        [sys.executable, "-m", "services.gateway"],
        env=told,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )

    names = folder if locale != "ASCII alone" else "Schl"  # the rest cannot be written there
    assert_one_line(run.returncode, run.stderr, prefix="gateway", names=names)
    assert "trusted.json" in run.stderr


@pytest.mark.parametrize("locale", LOCALES)
def test_a_command_works_in_folders_of_any_name_in_any_locale(
    home: Path, environment: dict[str, str], locale: str
) -> None:
    home.mkdir()
    checkout, data = home / "Lock stép 数", home / "Data fôlder 数"
    checkout.symlink_to(ROOT)
    told = environment | {"PYTHONPATH": str(checkout), "LOCKSTEP_HOME": str(data)} | LOCALES[locale]
    for command in (["keys", "init"], ["certs", "init"], ["mail", "list"]):
        run = subprocess.run(
            [sys.executable, "-m", "services.cli", *command],
            cwd=checkout,
            env=told,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert (run.returncode, b"Traceback" in run.stderr) == (0, False), run.stderr
    assert (data / "keys" / "trusted.json").is_file()
    assert (data / "certs" / "ca.pem").is_file()


def test_make_works_in_a_folder_of_any_name(home: Path) -> None:
    home.mkdir()
    checkout = home / "Lock stép 数"
    checkout.symlink_to(ROOT)
    done = subprocess.run(
        ["make", "help"], cwd=checkout, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "make run" in done.stdout
