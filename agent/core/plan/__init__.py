"""Changes to the node's files, as data."""
