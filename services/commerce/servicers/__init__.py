"""Commerce on the wire: messages in, use cases, messages out."""
