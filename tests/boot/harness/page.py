"""Sections of docs/troubleshooting.md on a broken node."""

from __future__ import annotations

from tests import troubleshooting

from .node import Running


def difference(running: Running, anchor: str) -> str:
    """Run the command of a section in the node; return what it prints if the page differs."""
    return troubleshooting.difference(anchor, running.run(*troubleshooting.command(anchor), check=False))
