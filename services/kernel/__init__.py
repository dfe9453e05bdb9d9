"""What every service shares. The kernel knows no service."""
