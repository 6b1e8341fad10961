"""Thin access to the system: typed arguments in, typed values out, no policy."""
