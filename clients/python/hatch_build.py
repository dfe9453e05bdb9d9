"""Generate the package `lockstep` and its descriptors from the protos.

Hatchling runs this module for every wheel, an editable one too. `python hatch_build.py` generates
in place, and `python hatch_build.py PROTOS IMAGE` only describes other protos. The protos are in
the sdist itself; in a checkout they are two folders up.
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

ERRORS = ("google/rpc/status.proto", "google/rpc/error_details.proto")
PLUGINS = ("python", "grpc_python", "mypy", "mypy_grpc")


class StubsHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        generate(Path(self.root))


def generate(root: Path) -> None:
    """Write `src/lockstep` and `lockstep.binpb` below root, and replace earlier ones."""
    protos = _protos(root)
    source = root / "src"
    # The scratch folder is on the destination's file system, so that a rename moves it at once.
    with tempfile.TemporaryDirectory(dir=source, prefix=".generated-") as scratch:
        output, descriptors = Path(scratch, "python"), Path(scratch, "lockstep.binpb")
        output.mkdir()
        describe(protos, descriptors)
        _protoc(protos, *(f"--{plugin}_out={output}" for plugin in PLUGINS))
        _make_packages(output / "lockstep")
        shutil.rmtree(source / "lockstep", ignore_errors=True)
        (output / "lockstep").rename(source / "lockstep")
        descriptors.replace(source / "lockstep_clients" / "lockstep.binpb")


def describe(protos: Path, descriptors: Path) -> None:
    """Write the descriptors of the protos and of their imports, as one FileDescriptorSet.

    The comments stay in it: the gateway makes its API document from them. The messages of errors
    are in it, too: without them another transcoder, such as Envoy's, answers errors without a body.
    """
    options = ["--include_imports", "--include_source_info"]
    _protoc(protos, *options, f"--descriptor_set_out={descriptors}", *ERRORS)


def _protos(root: Path) -> Path:
    for folder in (root / "protos", root.parent.parent / "protos"):
        if (folder / "lockstep").is_dir():
            return folder
    raise FileNotFoundError(f"no protos/lockstep in {root} nor two folders above it")


def _protoc(protos: Path, *outputs: str) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}"]
    command += [f"-I{folder}" for folder in _annotation_protos()]
    command += outputs
    command += sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))
    # protoc looks for its plugins on PATH alone, and a build environment may be inactive.
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    environment = os.environ | {"PATH": path}
    result = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
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
    if sys.argv[1:]:
        describe(*map(Path, sys.argv[1:]))
    else:
        generate(Path(__file__).resolve().parent)
