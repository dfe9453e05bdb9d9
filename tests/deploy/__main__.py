"""`make deploy-check` validates deploy/kubernetes; --write makes its kustomize base anew."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.deploy import checks, manifests, tools


def main() -> None:
    """Check or write."""
    parser = argparse.ArgumentParser(prog="python -m tests.deploy")
    parser.add_argument("deploy", nargs="?", type=Path, default=tools.ROOT / "deploy")
    parser.add_argument("--write", action="store_true", help="make the kustomize base anew")
    arguments = parser.parse_args()
    left_out = tools.install()
    for line in left_out:
        print(line)
    if arguments.write:
        if not tools.HELM.exists():
            sys.exit("the base cannot be made without helm")
        base = arguments.deploy / manifests.BASE / checks.BASE_FILE
        base.write_text(manifests.base_text(arguments.deploy))
        return
    found = checks.everything(arguments.deploy)
    for line in found:
        print(line)
    if found:
        sys.exit(f"{len(found)} findings in {arguments.deploy}")
    print("no findings in deploy/kubernetes")


if __name__ == "__main__":
    main()
