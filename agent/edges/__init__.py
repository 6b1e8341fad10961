"""The thin part: typed arguments in, typed values out, no policy."""
