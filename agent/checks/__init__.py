"""Checks of `check`, a module for each group.  They change nothing and wait for no lock."""
