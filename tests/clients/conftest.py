"""Fixtures of the differential tests: every client is asked once, two at a time, and a loud word
when they cannot be.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients.harness.clients import CLIENTS

PROGRAMS = "unshare ip mount curl wget git skopeo".split()


def missing() -> list[str]:
    """Why no client can be asked on this machine; empty when all can."""
    reasons = [] if os.geteuid() == 0 else ["not root"]
    if not Path("/etc/debian_version").exists():
        reasons.append("not a Debian system")
    absent = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    return reasons + ([f"not installed: {' '.join(absent)} (packages: tests/packages.txt)"] if absent else [])


@pytest.fixture(scope="session")
def answers(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[list[int | None]]]]:
    """What each client did that a test of this run asks for, by its name."""
    reasons = missing()
    if reasons:
        pytest.skip(f"no client can be asked here: {'; '.join(reasons)}")
    wanted = {item.callspec.params.get("client") for item in request.session.items if hasattr(item, "callspec")}
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {client.name: pool.submit(client.ask) for client in CLIENTS if client in wanted}
