"""Commerce's rules that several use cases share."""
