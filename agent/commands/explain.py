"""`explain`."""

from __future__ import annotations

import argparse

from agent.errors import UsageError


def run(arguments: argparse.Namespace) -> int:
    raise UsageError("not built yet")
