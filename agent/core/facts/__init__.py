"""Facts: what this instance is, and what it knows of its cluster."""
