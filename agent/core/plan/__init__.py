"""Which file becomes what, as data."""
