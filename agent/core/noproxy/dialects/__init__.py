"""Dialects of NO_PROXY: one module for each family of clients, with the source of its rules.

`request` parses a target, `families` lists the dialects in the order of a table.
"""
