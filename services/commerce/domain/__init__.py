"""What Commerce's use cases share: rules that no single RPC owns."""
