"""Fixtures of the boot tests: one bed a session, and a loud word when this machine cannot have
one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from tests.boot.harness import case as cases
from tests.boot.harness.bed import Bed, Trial

PROGRAMS = "debootstrap systemd-nspawn squid docker-registry umoci skopeo ip nsenter unshare strace".split()
LEFT_OUT = pytest.StashKey[str]()


def missing() -> list[str]:
    """Why this machine cannot boot a node; empty when it can."""
    reasons = []
    if os.geteuid() != 0:
        reasons.append("not root")
    if not Path("/etc/debian_version").exists():
        reasons.append("not a Debian system")
    absent = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if absent:
        reasons.append(f"not installed: {' '.join(absent)} (packages: tests/boot/packages.txt)")
    if "overlay" not in Path("/proc/filesystems").read_text():
        reasons.append("no overlayfs in this kernel")
    return reasons


@pytest.fixture(scope="session")
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """The services, in a network of their own; building a root for the first time takes two minutes
    and says so.
    """
    reasons = missing()
    if reasons:
        said = f"no node can boot here: {'; '.join(reasons)}"
        if os.environ.get("CI") == "true":
            pytest.fail(said, pytrace=False)
        request.config.stash[LEFT_OUT] = said
        pytest.skip(said)
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        made = Bed()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def trial(bed: Bed) -> Iterator[Callable[..., Trial]]:
    """Puts a case, by the name of its directory, on a new node, or on a snapshot of a node; it is
    removed after the test.
    """
    made: list[Trial] = []

    def put(name: str, image: Trial | None = None) -> Trial:
        made.append(bed.trial(cases.load(name), image))
        return made[-1]

    try:
        yield put
    finally:
        for one in made:
            one.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say at the end, where people look, that no node was booted."""
    if LEFT_OUT in config.stash:
        terminalreporter.section("boot tests left out", sep="!", red=True)
        terminalreporter.line(f"{config.stash[LEFT_OUT]}. With CI=true this is a failure.")
