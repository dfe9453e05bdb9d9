"""From HTTP rules and JSON to protobuf messages, and back. It knows no HTTP."""
