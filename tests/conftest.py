"""Rules for all tests.

Unit tests touch nothing outside the process.  With CI=true no test may be skipped; tests that need
root are skipped for other users.
"""

import os
import sys
import time

import hypothesis
import pytest

CI = os.environ.get("CI") == "true"

# No example has a deadline.  CI uses the same examples in each run, so that a failure can be
# reproduced.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if CI else "here")


# --- a time limit for every test

# Seconds, with the fixtures, where the limit of pyproject.toml is too short: a root, packages or
# Kubernetes are built first; `make fuzz` runs many examples.
_LIMITS = {"boot": 1200, "clients": 900, "cluster": 3600, "fuzz": 1800, "packaging": 1200, "policy": 3600}


# --- the log


@pytest.fixture(autouse=True)
def _fresh_log():
    """Forget the configuration of structlog: a test that captures events leaves one behind."""
    yield
    if "structlog" in sys.modules:
        sys.modules["structlog"].reset_defaults()


# --- unit tests touch nothing

# Audit events (docs.python.org, "Audit events table") → kind in `@pytest.mark.allows(...)`.
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
    """A forbidden action of a unit test.

    Not an Exception, so that no code under test swallows it.
    """


class _Guard:
    """Actions that the running unit test is allowed, and forbidden ones that it did.

    Off (`allowed` is None) outside unit tests.
    """

    def __init__(self):
        self.allowed = None
        self.seen = []

    def audit(self, event, arguments):
        if self.allowed is not None and event in _REFUSED and _REFUSED[event] not in self.allowed:
            action = f"{_REFUSED[event]}: {event}{arguments!r}"
            self.seen.append(action)
            raise Unplanned(action)

    def sleep(self, seconds):
        self.audit("time.sleep", (seconds,))
        return _sleep(seconds)


_guard = _Guard()
_sleep = time.sleep
sys.addaudithook(_guard.audit)


@pytest.fixture(autouse=True)
def _touch_nothing(request, monkeypatch):
    """Fail a unit test that does an unmarked fork, exec, DNS lookup, connection or sleep."""
    if "unit" not in request.node.path.relative_to(request.config.rootpath / "tests").parts[:1]:
        yield
        return
    mark = request.node.get_closest_marker("allows")
    monkeypatch.setattr(time, "sleep", _guard.sleep)  # before Python 3.11 it is not an audit event
    _guard.allowed, _guard.seen = frozenset(mark.args if mark else ()), []
    try:
        yield
    finally:
        _guard.allowed = None
    if _guard.seen:
        pytest.fail("not allowed in a unit test: " + "; ".join(_guard.seen), pytrace=False)


# --- with CI=true nothing is skipped


def _fail_instead(report, why):
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: {reason}\n{why}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Turn a skip into a failure, unless the test is marked as impossible on this platform."""
    outcome = yield
    if item.get_closest_marker("impossible_here") is None:
        _fail_instead(outcome.get_result(), "CI=true: a test must not be skipped (see the marker impossible_here)")


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report():
    """Turn the skip of a whole module into a failure."""
    outcome = yield
    _fail_instead(outcome.get_result(), "CI=true: a module must not be skipped")


def pytest_make_parametrize_id(val, argname):
    """Return a short id for large and binary values; it must be equal in all workers.

    gzip writes the time of day into its output.  pytest numbers ids that occur more than once.
    """
    is_opaque = isinstance(val, (str, bytes)) and (len(val) > 80 or val[:2] == b"\x1f\x8b" or val[:4] == "H4sI")
    return f"{argname} of {len(val)}" if is_opaque else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Refuse markers without a reason; mark tests that need root, groups and time limits.

    pytest-xdist keeps a group on one worker.
    """
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    for item in items:
        directory = item.path.relative_to(item.config.rootpath / "tests").parts[0]
        if directory in _LIMITS and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_LIMITS[directory]))
        if directory == "integration":
            item.add_marker(pytest.mark.integration)
        if directory in ("packaging", "clients"):  # packages and clients are built once, which takes long
            item.add_marker(pytest.mark.xdist_group(directory))
        for mark in (*item.iter_markers("impossible_here"), *item.iter_markers("needs_root")):
            if not (mark.args and isinstance(mark.args[0], str)):
                raise pytest.UsageError(f"{item.nodeid}: {mark.name}: requires a reason")
            if mark.name == "needs_root" and os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason=f"needs root: {mark.args[0]}"))


def pytest_collection_finish(session):
    """Refuse a pytest-xdist that does not keep groups together.

    Otherwise each worker would build the packages, and boot the nodes.
    """
    if getattr(session.config.option, "loadgroup", False):
        for item in session.items:
            if item.get_closest_marker("xdist_group") and "@" not in item.nodeid.rpartition("]")[2]:
                raise pytest.UsageError(f"{item.nodeid}: pytest-xdist has not assigned its group")


# --- tests that `make test` left out


def pytest_terminal_summary(terminalreporter):
    """Print what was not run at all, and which command runs it."""
    elsewhere = os.environ.get("TESTS_ELSEWHERE")
    if elsewhere:
        terminalreporter.section("not part of this run", sep="-")
        terminalreporter.write_line(elsewhere)
    left_out = os.environ.get("TESTS_LEFT_OUT")
    if left_out:
        terminalreporter.section("LEFT OUT", sep="!", red=True, bold=True)
        terminalreporter.write_line(left_out.rstrip())
