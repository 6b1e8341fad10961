"""Readers of user data: a small strict one for each program, with its source."""
