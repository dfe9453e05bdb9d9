"""HTTP requests and responses, and the gRPC calls in between."""
