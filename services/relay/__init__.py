"""The relay: it publishes the events of all services to NATS JetStream."""
