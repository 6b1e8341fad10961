"""Proxy URLs, proxy health, names and addresses."""
