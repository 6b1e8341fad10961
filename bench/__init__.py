"""Repeatable measurements: make bench."""
