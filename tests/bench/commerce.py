"""Commerce in a process of its own, which prints its port.

python -m tests.bench.commerce
"""

from __future__ import annotations

import uvloop

from services.commerce.__main__ import running
from services.commerce.settings import CommerceSettings
from services.common.settings import load
from services.kernel.logging import configure
from services.kernel.signals import until_stopped


async def serve() -> None:
    settings = load(CommerceSettings)
    configure(service="commerce", level=settings.log_level, form=settings.log_format)
    async with running(settings, listen_on="127.0.0.1:0") as found:
        print(f"PORT {found.port}", flush=True)
        await until_stopped()


if __name__ == "__main__":
    uvloop.run(serve())
