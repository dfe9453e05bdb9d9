"""Generate the package `lockstep` and its descriptors from the protos.

Hatchling runs this for every wheel, editable ones too; `python hatch_build.py` does the same
in place. An sdist carries the protos with it, a checkout has them two folders up.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class StubsHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        generate(Path(self.root))


def generate(root: Path) -> None:
    """Write `src/lockstep` and `lockstep.binpb` below root, replacing what was there."""
    protos = _protos(root)
    source = root / "src"
    # Beside its destination, so that it can be moved there in one step.
    with tempfile.TemporaryDirectory(dir=source, prefix=".generated-") as scratch:
        output, descriptors = Path(scratch, "python"), Path(scratch, "lockstep.binpb")
        output.mkdir()
        _protoc(protos, output, descriptors)
        _make_packages(output / "lockstep")
        shutil.rmtree(source / "lockstep", ignore_errors=True)
        (output / "lockstep").rename(source / "lockstep")
        descriptors.replace(source / "lockstep_clients" / "lockstep.binpb")


def _protos(root: Path) -> Path:
    for folder in (root / "protos", root.parent.parent / "protos"):
        if (folder / "lockstep").is_dir():
            return folder
    raise FileNotFoundError(f"no protos/lockstep in {root} nor two folders above it")


def _protoc(protos: Path, output: Path, descriptors: Path) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}"]
    command += [f"-I{folder}" for folder in _annotation_protos()]
    command += [
        f"--{plugin}_out={output}" for plugin in ("python", "grpc_python", "mypy", "mypy_grpc")
    ]
    # The gateway makes its API document from the comments: keep the source info.
    command += ["--include_imports", "--include_source_info", f"--descriptor_set_out={descriptors}"]
    command += sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))
    # protoc finds its plugins on PATH only, and a build environment need not be active.
    path = os.pathsep.join(
        [
            sysconfig.get_path("scripts"),
            str(Path(sys.executable).parent),
            os.environ.get("PATH", ""),
        ]
    )
    result = subprocess.run(
        command, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise RuntimeError(f"protoc failed:\n{result.stderr}")


def _annotation_protos() -> list[Path]:
    spec = find_spec("google.api")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("googleapis-common-protos is not installed")
    return [Path(folder).parents[1] for folder in spec.submodule_search_locations]


def _make_packages(package: Path) -> None:
    for folder in (package, *(path for path in package.rglob("*") if path.is_dir())):
        (folder / "__init__.py").touch()
    (package / "py.typed").touch()


if __name__ == "__main__":
    generate(Path(__file__).resolve().parent)
