"""The files that the agent writes: text in, text out."""
