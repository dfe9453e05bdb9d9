"""`python -m services.cli` is `lockstep`."""

from services.cli.main import main

main()
