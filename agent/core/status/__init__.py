"""status.json, and its views for people and programs."""
