"""Fixtures of the boot tests: a bed for the session, and a visible notice if it cannot run here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from tests.boot.harness import case as cases
from tests.boot.harness import root
from tests.boot.harness.bed import Bed, Trial

PROGRAMS = "debootstrap systemd-nspawn squid docker-registry umoci skopeo ip nsenter unshare strace".split()
LEFT_OUT = pytest.StashKey[str]()


def missing() -> list[str]:
    """Return the reasons why this machine cannot boot a node; none if it can."""
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


def require(request: pytest.FixtureRequest, reason: str) -> None:
    """Skip the test for a reason, if there is one; with CI=true that is a failure."""
    if reason:
        notice = f"cannot boot nodes here: {reason}"
        if os.environ.get("CI") == "true":
            pytest.fail(notice, pytrace=False)
        request.config.stash[LEFT_OUT] = notice
        pytest.skip(notice)


@pytest.fixture(scope="session")
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """The services, in a network of their own.

    Building a root for the first time takes two minutes; that is printed.
    """
    require(request, "; ".join(missing()))
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        session_bed = Bed()
    try:
        yield session_bed
    finally:
        session_bed.close()


@pytest.fixture
def trial(bed: Bed, request: pytest.FixtureRequest) -> Iterator[Callable[..., Trial]]:
    """A function that puts a case, by the name of its directory, on a new node.

    The node may be a snapshot of another one; it is removed after the test.
    """
    trials: list[Trial] = []

    def put(name: str, image: Trial | None = None) -> Trial:
        case = cases.load(name)
        require(request, root.missing(case.suite))
        trials.append(bed.trial(case, image))
        return trials[-1]

    try:
        yield put
    finally:
        for node in trials:
            node.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print at the end that no node was booted."""
    if LEFT_OUT in config.stash:
        terminalreporter.section("boot tests skipped", sep="!", red=True)
        terminalreporter.line(f"{config.stash[LEFT_OUT]}. With CI=true this is a failure.")
