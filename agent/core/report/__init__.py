"""The support report: what is masked in it, and its list of contents; pure."""
