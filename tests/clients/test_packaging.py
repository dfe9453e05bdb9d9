"""Another project installs the clients from a clean checkout: wheel, sdist, in place."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from services.gateway.lockstep import OWN_INFO

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
LOCKS = ("requirements.lock", "requirements-run.lock", "requirements-image.lock")
PROJECTS = ["pyproject.toml", "clients/python/pyproject.toml", "gateway/pyproject.toml"]

# Prints where the package is, a method with its option, and whether the comments are there.
LOOK = """
import lockstep.auth.v1.auth_service_pb2_grpc as auth_grpc
from lockstep_clients.methods import descriptors, methods
method = methods()["/lockstep.auth.v1.AuthService/Register"]
comments = [l.leading_comments for f in descriptors().file for l in f.source_code_info.location]
print(auth_grpc.__file__, method.takes_idempotency_key, any("Register" in c for c in comments))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The folder of the clients in a checkout where nothing has been generated."""
    ignored = shutil.ignore_patterns("lockstep", "lockstep.binpb", "__pycache__", ".generated-*")
    clients = tmp_path / "checkout" / "clients" / "python"
    shutil.copytree(ROOT / "clients" / "python", clients, ignore=ignored)
    shutil.copytree(ROOT / "protos", tmp_path / "checkout" / "protos")
    shutil.copy(ROOT / ".gitignore", tmp_path / "checkout")
    return clients


def test_a_wheel_from_a_checkout_has_the_stubs(checkout: Path, tmp_path: Path) -> None:
    assert works(unpacked(wheel_of(checkout, tmp_path), tmp_path))


def test_a_wheel_from_an_sdist_has_the_stubs(checkout: Path, tmp_path: Path) -> None:
    run("-m", "hatchling", "build", "--target", "sdist", folder=checkout)
    (sdist,) = (checkout / "dist").glob("*.tar.gz")
    assert works(unpacked(wheel_of(sdist, tmp_path), tmp_path))


def test_an_editable_install_generates_the_stubs_in_place(checkout: Path, tmp_path: Path) -> None:
    build = f"from hatchling.build import build_editable; build_editable({str(tmp_path)!r})"
    run("-c", build, folder=checkout)
    assert works(checkout / "src")


def test_stubs_of_a_removed_proto_go_away(checkout: Path) -> None:
    run("hatch_build.py", folder=checkout)
    wallet = "lockstep/profile/v1/wallet_service"
    (checkout.parents[1] / "protos" / f"{wallet}.proto").unlink()
    run("hatch_build.py", folder=checkout)
    assert not list((checkout / "src").glob(f"{wallet}*"))


def test_a_wheel_says_that_it_is_typed_and_carries_its_licence(
    checkout: Path, tmp_path: Path
) -> None:
    names = ZipFile(wheel_of(checkout, tmp_path)).namelist()
    assert {"lockstep/py.typed", "lockstep_clients/py.typed"} <= set(names)
    assert "lockstep/auth/v1/auth_service_pb2_grpc.pyi" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_versions_and_no_registry(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()
    assert lines
    wrong = [line for line in lines if "://" in line or " @ " in line or line.startswith("-")]
    assert wrong == []


@pytest.mark.parametrize("project", PROJECTS)
def test_the_lock_has_what_the_projects_ask_for(project: str) -> None:
    declared = tomllib.loads((ROOT / project).read_text())
    asked = declared["build-system"]["requires"] + declared["project"]["dependencies"]
    asked += declared["project"].get("optional-dependencies", {}).get("dev", [])
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^([a-z0-9.-]+)==([^ ]+)", lock, re.MULTILINE)
    pins += [("lockstep-clients", VERSION), ("lockstep-gateway", VERSION)]  # of the checkout
    versions = {str(canonicalize_name(name)): pin for name, pin in pins}
    stale = [text for text in asked if not is_met(Requirement(text), versions)]
    assert stale == [], "run `make lock`"


def is_met(requirement: Requirement, versions: dict[str, str]) -> bool:
    pin = versions.get(canonicalize_name(requirement.name))
    return pin is not None and requirement.specifier.contains(pin)


def wheel_of(source: Path, tmp_path: Path) -> Path:
    """Build a wheel, offline."""
    output = tmp_path / "wheels"
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", str(output)]
    run("-m", "pip", "wheel", "--quiet", *options, str(source), folder=tmp_path)
    (wheel,) = output.glob("*.whl")
    return wheel


def unpacked(wheel: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "installed"
    ZipFile(wheel).extractall(folder)
    return folder


def works(folder: Path) -> bool:
    """Say whether the package in a folder can be imported and knows its methods."""
    script = f"import sys; sys.path.insert(0, {str(folder)!r})\n{LOOK}"
    where, *facts = run("-c", script, folder=folder).split()
    return Path(where).is_relative_to(folder) and facts == ["True", "True"]


def run(*arguments: str, folder: Path) -> str:
    result = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_everything_of_a_release_has_one_version() -> None:
    versions = {tomllib.loads((ROOT / each).read_text())["project"]["version"] for each in PROJECTS}
    assert versions == {VERSION}
    assert version("lockstep") == VERSION
    assert OWN_INFO.version == VERSION
    assert f"\nARG VERSION={VERSION}\n" in (ROOT / "Dockerfile").read_text()
    changelog = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    dated = [each for each in releases if each != "Unreleased"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", each) for each in dated)
    assert dated[0].startswith(f"{VERSION} - ")
