"""Plugin of pytest for mutants: records the reach of the tests, or selects the tests to run.

MUTANTS_RECORD is the directory of the records: `reach.jsonl` gets a line for each test that passes.
MUTANTS_SELECT is a file with the ids of the tests to run, in this order.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.mutants import reach

# A failure is enough: the smallest example would take longer to find.
hypothesis.settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)


def pytest_collection_finish() -> None:
    """Select the examples, after tests/conftest.py selected those of an ordinary run."""
    hypothesis.settings.load_profile("mutants")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Select the tests."""
    if "MUTANTS_SELECT" in os.environ:
        order = Path(os.environ["MUTANTS_SELECT"]).read_text().splitlines()
        by_id = {item.nodeid: item for item in items}
        items[:] = [by_id[name] for name in order if name in by_id]


class Recorder:
    """Writes the record of each test; fixtures that several tests share have their own."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._count, self._shared = directory, 0, dict[str, str]()
        self._passed: dict[str, bool] = {}

    def _next(self) -> str:
        self._count += 1
        return f"{os.getpid()}-{self._count}"

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Record a test."""
        number = self._test = self._next()
        reach.mark(self._directory, number)
        begin = time.monotonic()
        yield
        seconds = time.monotonic() - begin
        names = reach.reached(self._directory, number)
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in self._shared:
                names |= reach.reached(self._directory, self._shared[fixture])
        record = {
            "test": item.nodeid,
            "seconds": seconds,
            "passed": self._passed.get(item.nodeid),
            "names": sorted(names),
        }
        with (self._directory / "reach.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Iterator[None]:
        """Record a fixture that several tests share; the first of them does not count alone."""
        if fixturedef.scope == "function":
            yield
            return
        number = self._shared[fixturedef.argname] = self._next()
        reach.mark(self._directory, number)
        yield
        reach.mark(self._directory, self._test)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember whether each phase of the test passed."""
        self._passed[report.nodeid] = self._passed.get(report.nodeid, True) and report.passed


def pytest_configure(config: pytest.Config) -> None:
    """Register the recorder."""
    if "MUTANTS_RECORD" in os.environ:
        config.pluginmanager.register(Recorder(Path(os.environ["MUTANTS_RECORD"])))
