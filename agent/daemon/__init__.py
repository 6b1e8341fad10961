"""The life of the daemon."""
