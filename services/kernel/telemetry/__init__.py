"""Telemetry: the metrics of a process, and the port on which it tells them."""
