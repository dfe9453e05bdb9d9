"""What Auth does with the events of all services."""
