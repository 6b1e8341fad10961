"""status.json, and what people and machines are shown of it."""
