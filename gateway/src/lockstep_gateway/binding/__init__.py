"""From HTTP rules and JSON to protobuf messages. This room knows nothing of HTTP servers."""
