"""Rules for all tests: unit tests touch nothing, and under CI=true nothing is skipped, but runs as
root where it has to.
"""

import os
import sys
import time

import hypothesis
import pytest

CI = os.environ.get("CI") == "true"

# No example is timed; and CI finds the same ones in each run, so that a red run can be had again.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if CI else "here")


# --- unit tests touch nothing
# ---------------------------------------------------------------------------------------

# Audit events (docs.python.org, "Audit events table") and the kind that `@pytest.mark.allows(...)`
# names.
_REFUSED = {
    "subprocess.Popen": "subprocess",
    "os.system": "subprocess",
    "os.exec": "subprocess",
    "os.fork": "subprocess",
    "os.forkpty": "subprocess",
    "os.posix_spawn": "subprocess",
    "socket.getaddrinfo": "dns",
    "socket.gethostbyname": "dns",
    "socket.gethostbyaddr": "dns",
    "socket.connect": "socket",
    "socket.sendto": "socket",
    "socket.sendmsg": "socket",
    "time.sleep": "sleep",
}


class Unplanned(BaseException):
    """A unit test did what only integration tests may; not an Exception, so that no code under test
    swallows it.
    """


class _Guard:
    """What the running unit test may do, and what it did all the same; off (None) outside unit
    tests.
    """

    def __init__(self):
        self.allowed = None
        self.seen = []

    def audit(self, event, arguments):
        if self.allowed is not None and event in _REFUSED and _REFUSED[event] not in self.allowed:
            what = f"{_REFUSED[event]}: {event}{arguments!r}"
            self.seen.append(what)
            raise Unplanned(what)

    def sleep(self, seconds):
        self.audit("time.sleep", (seconds,))
        return _sleep(seconds)


_guard = _Guard()
_sleep = time.sleep
sys.addaudithook(_guard.audit)


@pytest.fixture(autouse=True)
def _touch_nothing(request, monkeypatch):
    """Fail a unit test at any subprocess, DNS look-up, socket connect or sleep that it is not
    marked for.
    """
    if "unit" not in request.node.path.relative_to(request.config.rootpath / "tests").parts[:1]:
        yield
        return
    mark = request.node.get_closest_marker("allows")
    monkeypatch.setattr(time, "sleep", _guard.sleep)  # an audit event only from Python 3.11 on
    _guard.allowed, _guard.seen = frozenset(mark.args if mark else ()), []
    try:
        yield
    finally:
        _guard.allowed = None
    if _guard.seen:
        pytest.fail("unplanned in a unit test: " + "; ".join(_guard.seen), pytrace=False)


# --- under CI=true nothing is skipped
# -------------------------------------------------------------------------------


def _fail_instead(report, why):
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: {reason}\n{why}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Turn a skip into a failure, unless the test says that this platform can never run it."""
    outcome = yield
    if item.get_closest_marker("impossible_here") is None:
        _fail_instead(outcome.get_result(), "CI=true: a test may not be skipped (see the marker impossible_here)")


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report():
    """The same for a whole module."""
    outcome = yield
    _fail_instead(outcome.get_result(), "CI=true: a module may not be skipped")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Refuse a marker without its reason; say which tests need root, and which stay together on one
    worker of pytest-xdist.
    """
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    for item in items:
        directory = item.path.relative_to(item.config.rootpath / "tests").parts[0]
        if directory == "integration":
            item.add_marker(pytest.mark.integration)
        if directory in ("packaging", "clients"):  # the packages and the clients are made once, and that takes long
            item.add_marker(pytest.mark.xdist_group(directory))
        for mark in (*item.iter_markers("impossible_here"), *item.iter_markers("needs_root")):
            if not (mark.args and isinstance(mark.args[0], str)):
                raise pytest.UsageError(f"{item.nodeid}: {mark.name} needs its reason")
            if mark.name == "needs_root" and os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason=f"needs root: {mark.args[0]}"))


def pytest_collection_finish(session):
    """Refuse a pytest and pytest-xdist that do not keep groups together: each worker would make the
    packages, and boot the nodes.
    """
    if getattr(session.config.option, "loadgroup", False):
        for item in session.items:
            if item.get_closest_marker("xdist_group") and "@" not in item.nodeid.rpartition("]")[2]:
                raise pytest.UsageError(f"{item.nodeid}: pytest-xdist has not put it into its group")


# --- what `make test` left out
# --------------------------------------------------------------------------------------


def pytest_terminal_summary(terminalreporter):
    """Say at the end what was not run at all, and what another command runs."""
    elsewhere = os.environ.get("TESTS_ELSEWHERE")
    if elsewhere:
        terminalreporter.section("not part of this run", sep="-")
        terminalreporter.write_line(elsewhere)
    left_out = os.environ.get("TESTS_LEFT_OUT")
    if left_out:
        terminalreporter.section("LEFT OUT", sep="!", red=True, bold=True)
        terminalreporter.write_line(left_out.rstrip())
