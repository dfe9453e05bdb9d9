"""The command `lockstep`: it runs, migrates and inspects everything on one machine."""
