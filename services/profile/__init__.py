"""The Profile service."""
