"""The Commerce service."""
