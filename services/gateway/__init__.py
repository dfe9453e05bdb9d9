"""The gateway in front of Lockstep: its settings, its identity, its process."""
