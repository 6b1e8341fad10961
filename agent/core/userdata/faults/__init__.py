"""Faults of user data that is written by hand, found by their words."""
