"""The rules that several RPCs of Profile share."""
