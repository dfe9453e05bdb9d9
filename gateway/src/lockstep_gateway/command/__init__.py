"""The command `lockstep-gateway`: its settings, its logs, its metrics, and what changes."""
