"""What is served and where: asked from the upstreams, or read from a file."""
