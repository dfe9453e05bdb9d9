"""`make deploy-base` makes the kustomize base of deploy/kubernetes anew, from its Helm chart."""

from __future__ import annotations

import sys
from typing import Final

from tests.deploy import manifests, tools

DEPLOY: Final = tools.ROOT / "deploy"


def main() -> None:
    """Write the base, and the relay beside it."""
    left_out = tools.install()
    if not tools.HELM.exists():
        sys.exit(f"the base cannot be made without helm: {'; '.join(left_out)}")
    manifests.base_file(DEPLOY).write_text(manifests.base_text(DEPLOY))
    manifests.relay_file(DEPLOY).write_text(manifests.relay_text(DEPLOY))


if __name__ == "__main__":
    main()
