"""Fixtures of the differential tests: every client runs once, two at a time.

A machine without the clients is reported.
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
    """Return the reasons why the clients cannot run on this machine; empty if they can."""
    reasons = [] if os.geteuid() == 0 else ["not root"]
    if not Path("/etc/debian_version").exists():
        reasons.append("not a Debian system")
    absent = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    return reasons + ([f"not installed: {' '.join(absent)} (packages: tests/packages.txt)"] if absent else [])


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[list[int | None]]]]:
    """The ports of the first connections of each client that this run tests, by its name."""
    reasons = missing()
    if reasons:
        pytest.skip(f"clients cannot run: {'; '.join(reasons)}")
    selected = {item.callspec.params.get("client") for item in request.session.items if hasattr(item, "callspec")}
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {client.name: pool.submit(client.run) for client in CLIENTS if client in selected}
