"""Tell how many services of a folder of protos the gateway can serve, such as of googleapis.

git clone --depth 1 https://github.com/googleapis/googleapis
python -m tests.gateway.googleapis googleapis
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import google.api
import grpc_tools
import structlog
from lockstep_gateway.binding import descriptors
from lockstep_gateway.build import find_api
from lockstep_gateway.http.upstream import Upstream

RULE = re.compile(r"option\s*\(\s*google\.api\.http\s*\)")
NAMES = re.compile(r"`[^`]*`|at position \d+|\S+ is a path of \S+|\S+ \S+(?= is a path)")


@dataclass
class Report:
    """The numbers of a folder.

    Attributes:
        whole: The services of which every rule can be served.
        partial: The services of which some can.
        refused: The services of which none can.
        methods: The methods that are served.
        reasons: The reasons against methods, without names, with the number of each.
        broken: The folders that protoc does not compile.
    """

    whole: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    methods: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def add(self, data: bytes, files: set[str]) -> None:
        """Count the services with HTTP rules that these files declare."""
        registry = descriptors.load(data)
        for service in descriptors.services(registry):
            if service.file.name.removesuffix(".proto") not in files:
                continue
            name = service.type_name
            with structlog.testing.capture_logs() as left_out:
                api = find_api(registry, {name: Upstream(name, "127.0.0.1:1")}, strict=False)
            self.methods += len(api.rpcs)
            self.reasons.update(NAMES.sub("...", each["reason"]) for each in left_out)
            if api.rpcs or left_out:
                held = self.partial if left_out else self.whole
                (held if api.rpcs else self.refused).append(name)

    def lines(self) -> Iterator[str]:
        """Write the report."""
        total = len(self.whole) + len(self.partial) + len(self.refused)
        yield f"{total} services have HTTP rules; {self.methods} of their methods are served"
        yield f"{len(self.whole)} start with --strict"
        yield f"{len(self.partial)} lack a method: {', '.join(self.partial) or 'none'}"
        yield f"{len(self.refused)} cannot be served at all: {', '.join(self.refused) or 'none'}"
        for reason, count in self.reasons.most_common():
            yield f"{count:5}  {reason}"
        for folder in self.broken:
            yield f"not compiled: {folder}"


def measure(root: Path) -> Report:
    """Read every folder of protos below `root`. Each is compiled alone, with its imports."""
    report = Report()
    for folder in sorted({each.parent for each in root.rglob("*.proto")}):
        files = [each for each in sorted(folder.glob("*.proto")) if RULE.search(each.read_text())]
        if not files:
            continue
        data = _compile(root, files)
        if data is None:
            report.broken.append(str(folder.relative_to(root)))
        else:
            names = {str(each.relative_to(root).with_suffix("")) for each in files}
            report.add(data, names)
    return report


def _compile(root: Path, files: list[Path]) -> bytes | None:
    includes = [root, Path(grpc_tools.__file__).parent / "_proto"]
    includes += [Path(each).parents[1] for each in google.api.__path__]
    with tempfile.NamedTemporaryFile(suffix=".binpb") as out:
        command = [sys.executable, "-m", "grpc_tools.protoc", "--include_imports"]
        command += [f"-I{each}" for each in includes]
        command += [f"--descriptor_set_out={out.name}", *map(str, files)]
        done = subprocess.run(command, check=False, capture_output=True)
        return Path(out.name).read_bytes() if done.returncode == 0 else None


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.gateway.googleapis", description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder that imports start from")
    print(*measure(parser.parse_args().folder).lines(), sep="\n")


if __name__ == "__main__":
    main()
