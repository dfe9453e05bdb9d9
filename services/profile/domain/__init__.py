"""What Profile's use cases share: rules that no single RPC owns."""
