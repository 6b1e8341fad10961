"""What this instance is."""
