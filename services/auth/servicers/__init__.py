"""Auth on the wire: requests are read and checked, use cases run, answers are written."""
