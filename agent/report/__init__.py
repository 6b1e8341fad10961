"""The support report: collectors, run in parallel, and the archive."""
