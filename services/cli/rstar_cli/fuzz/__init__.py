"""Wrong calls by the hundred thousand, over the wire, at a system that demands certificates."""
