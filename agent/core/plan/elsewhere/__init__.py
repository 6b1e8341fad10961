"""Places outside the agent's files that set a proxy: their text in, values out."""
