"""`make mutants SEED=1 N=150`: how many of N mutations do the unit and integration tests notice?

The tree is copied.  The first run records which functions each test reaches, which takes minutes;
then each mutant gets only the tests that reach its function, the fast ones first.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any, Callable, TypeVar

from tests.mutants import reach
from tests.mutants.mutations import Mutant, mutants_of

ROOT = Path(__file__).resolve().parents[2]
SANDBOX = Path(__file__).with_name("sandbox.sh")
#: What a copy has of the tree.
PARTS = (
    "agent tests bench packaging systemd docs pyproject.toml Makefile rpm.spec README.md CHANGELOG.md CONTRIBUTING.md"
)
SUITES = ("tests/unit", "tests/integration")
#: The records of the tests, by their file.
KEPT = ROOT / "build/mutants/reach.json"
#: Test files that are recorded together, in a copy of their own.
SHARE = 12
#: Layer → its directories.
LAYERS = {
    "core": ["agent/core"],
    "core/cluster": ["agent/core/cluster"],
    "edges": ["agent/edges"],
    "node, daemon": ["agent/node", "agent/daemon"],
    "commands, cluster": ["agent/commands", "agent/cluster"],
    "checks, report": ["agent/checks", "agent/report"],
}
#: Seconds: of one test; of all tests of a mutant, by their recorded durations.
TEST_LIMIT, MUTANT_LIMIT = 120, 120.0


_running: set[subprocess.Popen[bytes]] = set()

T = TypeVar("T")


def in_parallel(jobs: int, tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Return the results of tasks, of which `jobs` run at a time; a signal ends them all."""
    pool = ThreadPoolExecutor(jobs)
    try:
        return [done.result() for done in [pool.submit(task) for task in tasks]]
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(_running):
            process.kill()
        raise
    finally:
        pool.shutdown()


class Copy:
    """A copy of the tree, in which one mutant at a time is tested."""

    def __init__(self, directory: Path) -> None:
        self.path = directory
        (directory / "scratch").mkdir(parents=True)
        for name in PARTS.split():
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
            else:
                shutil.copy(source, directory)
        (directory / ".venv").symlink_to((ROOT / ".venv").resolve())

    def compile(self) -> None:
        """Compile it, to be valid by content: a mutant may have the size of the original."""
        command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "agent", "tests"]
        subprocess.run(command, cwd=self.path, check=True)

    def failure(self) -> str:
        """Return what failed in the last run of pytest."""
        failed = re.search(r"^(?:FAILED|ERROR) (.*)", self._output(), re.MULTILINE)
        return failed[1] if failed else "not ended" if self.has_timeout() else "pytest"

    def has_timeout(self) -> bool:
        """Return True if the last run, or a test of it, took longer than its limit."""
        return "Failed: Timeout (>" in self._output() or not re.search(r" in [0-9.]+s", self._output())

    def _output(self) -> str:
        return (self.path / "scratch/output").read_text(errors="replace")

    def select(self, tests: str) -> dict[str, str]:
        """Return the variables that let pytest run these tests (lines) in their order."""
        path = self.path / "scratch/select"
        path.write_text(tests)
        return {"MUTANTS_SELECT": str(path)}

    def pytest(self, arguments: Sequence[str], limit: float | None, **variables: str) -> int | None:
        """Run pytest in the sandbox; return its exit code, or None after `limit` seconds."""
        paths = [str(self.path), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **os.environ,
            "PYTHONPATH": ":".join(paths),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CI": "",
            **variables,
        }
        command = [SANDBOX, self.path, "nice", "-n", "10", ".venv/bin/python", "-m", "pytest", "-q", "-p"]
        command += ["no:cacheprovider", "-p", "tests.mutants.plugin", "--timeout", str(TEST_LIMIT), *arguments]
        with (self.path / "scratch/output").open("wb") as output:
            process = subprocess.Popen(command, cwd=self.path, env=environment, stdout=output, stderr=output)
            _running.add(process)
            try:
                return process.wait(limit)
            except subprocess.TimeoutExpired:
                return None
            finally:
                process.kill()  # and with it everything in its sandbox
                process.wait()
                _running.discard(process)


def record(jobs: int) -> list[dict[str, Any]]:
    """Return the records of all tests.

    Those of an earlier run count while the file of the test is the same.
    """
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    paths = [path for suite in SUITES for path in sorted((ROOT / suite).rglob("test_*.py"))]
    digests = {str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    new = [file for file, digest in digests.items() if kept.get(file, {}).get("digest") != digest]
    if new:
        print(f"recording which functions the tests of {len(new)} files reach ...", flush=True)
        shares = [new[begin : begin + SHARE] for begin in range(0, len(new), SHARE)]

        def record_share(share: Sequence[str]) -> None:
            records = _record_share(share)
            replacement = KEPT.with_name("reach.new")
            with lock:  # a run that is stopped goes on from here
                for file in share:
                    of_file = [item for item in records if item["test"].startswith(file + "::")]
                    kept[file] = {"digest": digests[file], "tests": of_file}
                replacement.write_text(json.dumps(kept))
                os.replace(replacement, KEPT)
            print(f"recorded {len(kept)} of {len(digests)} files", flush=True)

        lock = threading.Lock()
        in_parallel(jobs, [partial(record_share, share) for share in shares])
    return [item for file in digests for item in kept[file]["tests"]]


def _record_share(files: Sequence[str]) -> list[dict[str, Any]]:
    """Return the records of some test files.

    A test that fails in the copy, mostly because of the statements for the record, runs again in a
    copy without them.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-", dir=ROOT / "build") as name:
        records = _record_in(Path(name, "instrumented"), files, "", is_instrumented=True)
        failed = [item["test"] for item in records if not item["passed"]]
        if failed:
            chosen = sorted({test.partition("::")[0] for test in failed})
            again = _record_in(Path(name, "plain"), chosen, "\n".join(failed), is_instrumented=False)
            passed = {item["test"] for item in again if item["passed"]}
            records = [{**item, "passed": item["passed"] or item["test"] in passed} for item in records]
        return records


def _record_in(path: Path, files: Sequence[str], tests: str, *, is_instrumented: bool) -> list[dict[str, Any]]:
    """Return the records of the tests of some files in a new copy, or only of `tests` (lines)."""
    copy = Copy(path)
    directory = path / "scratch/reach"
    directory.mkdir()
    directory.chmod(0o777)
    if is_instrumented:
        reach.instrument(path, directory)
    copy.compile()
    select = copy.select(tests) if tests else {}
    copy.pytest(["-m", "not long", *files], None, MUTANTS_RECORD=str(directory), **select)
    lines = (directory / "reach.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def choose(seed: int, count: int) -> dict[str, list[Mutant]]:
    """Return `count` mutants, the same number of each layer, by the seed."""
    chance = random.Random(seed)
    per_layer = count // len(LAYERS)
    chosen = {}
    for layer in LAYERS:
        mutants = _mutants_of_layer(layer)
        chosen[layer] = chance.sample(mutants, min(len(mutants), per_layer))
    return chosen


@cache
def _mutants_of_layer(layer: str) -> list[Mutant]:
    inner = [path for name, paths in LAYERS.items() if name.startswith(layer + "/") for path in paths]
    files = [path for directory in LAYERS[layer] for path in sorted((ROOT / directory).rglob("*.py"))]
    names = [str(file.relative_to(ROOT)) for file in files]
    return [mutant for name in names if not name.startswith(tuple(inner) or "/") for mutant in mutants_of(ROOT, name)]


def reaching(mutant: Mutant, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tests that reach the function of a mutant: fast and specific ones first.

    What is evaluated at import is reached by all tests of the file, or, if that has no functions,
    of its directory.
    """
    passing = [item for item in records if item["passed"]]
    if mutant.function:
        name = f"{mutant.file}:{mutant.function}"
        items = [item for item in passing if name in item["names"]]
    else:
        prefixes = (mutant.file + ":", mutant.file.rpartition("/")[0] + "/")
        alike = (
            [item for item in passing if any(name.startswith(prefix) for name in item["names"])] for prefix in prefixes
        )
        items = next(filter(None, alike), [])
    return sorted(items, key=lambda item: item["seconds"] + len(item["names"]) / 1000)


def killer(copy: Copy, mutant: Mutant | None, tests: Sequence[dict[str, Any]]) -> str:
    """Return the test that fails with the mutant, or hangs; empty if all pass.

    The tests of the first two files run first: to collect all files takes longer than most tests.
    """
    selected, seconds = [], 0.0
    for item in tests:
        if seconds > MUTANT_LIMIT:
            break
        selected.append(item)
        seconds += item["seconds"]
    files = dict.fromkeys(item["test"].partition("::")[0] for item in selected)
    first = [item for item in selected if item["test"].startswith(tuple(f"{file}::" for file in [*files][:2]))]
    path = copy.path / (mutant.file if mutant else "agent/__init__.py")
    source = path.read_bytes()
    for part in (first, [item for item in selected if item not in first]):
        path.write_bytes(mutant.apply(source) if mutant else source)
        try:
            failure = _failure(copy, part)
        finally:
            path.write_bytes(source)
        if failure and mutant and copy.has_timeout() and _failure(copy, part):
            return ""  # the machine is too busy for the limits: nothing is known
        if failure:
            return failure
    return ""


def _failure(copy: Copy, tests: Sequence[dict[str, Any]]) -> str:
    """Return the first of the tests that fails, empty if all pass."""
    if not tests:
        return ""
    names = [str(item["test"]) for item in tests]
    files = dict.fromkeys(name.partition("::")[0] for name in names)
    limit = 3 * sum(item["seconds"] for item in tests) + 2 * TEST_LIMIT
    code = copy.pytest(["-x", *files], limit, **copy.select("\n".join(names)))
    return "" if code in (0, 5) else copy.failure()


def main() -> int:
    """Run the mutants, and print each result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--again", type=Path, metavar="OUTPUT", help="only what survived in an earlier run")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("error: make mutants: requires root, for a sandbox (unshare); the mutants must not harm this machine")
        return 1
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    (ROOT / "build").mkdir(exist_ok=True)
    records = record(arguments.jobs)
    failing = [item["test"] for item in records if not item["passed"]]
    print(f"{len(records)} tests; {len(failing)} do not pass in the sandbox and are not used")
    chosen = choose(arguments.seed, arguments.count)
    if arguments.again:
        output = arguments.again.read_text()
        chosen = {layer: [item for item in found if f"SURVIVED  {item}  " in output] for layer, found in chosen.items()}
    killed: dict[str, int] = defaultdict(int)
    survivors: dict[str, list[str]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="mutants-", dir=ROOT / "build") as name:
        copies = [Copy(Path(name, str(number))) for number in range(arguments.jobs)]
        for copy in copies:
            copy.compile()

        some = random.Random(0).sample([item for item in records if item["passed"]], 50)
        problem = killer(copies[0], None, some)
        if problem:
            raise SystemExit(f"error: a test fails without any mutant: {problem}")

        def test(layer: str, mutant: Mutant) -> None:
            copy = copies.pop()
            tests = reaching(mutant, records)
            by = killer(copy, mutant, tests)
            copies.append(copy)
            if by:
                killed[layer] += 1
                print(f"killed    {mutant}  by {by}", flush=True)
            else:
                survivors[layer].append(str(mutant))
                print(f"SURVIVED  {mutant}  {len(tests)} tests", flush=True)

        rounds = itertools.zip_longest(
            *chosen.values()
        )  # of each layer one, so that a run that is stopped has some of all
        tasks = [partial(test, layer, mutant) for mutants in rounds for layer, mutant in zip(chosen, mutants) if mutant]
        in_parallel(arguments.jobs, tasks)
    print(f"\nseed {arguments.seed}")
    for layer, of_layer in chosen.items():
        share = 100 * killed[layer] / max(1, len(of_layer))
        print(f"{layer:18} {killed[layer]:3} of {len(of_layer):3} killed  {share:3.0f} %")
    for layer in chosen:
        for line in survivors[layer]:
            print("survived  " + line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
