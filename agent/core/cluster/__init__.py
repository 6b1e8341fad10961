"""Pure part of `cluster`: objects, patches, and verdicts on pods."""
