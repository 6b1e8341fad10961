"""`make faults`: a fault at each call of each scenario.

`python -m tests.faults.run [SCENARIO ...]` runs some scenarios.  Failures are printed when they
are found; the last lines are the counts.
"""

from __future__ import annotations

import collections
import concurrent.futures
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.calls import FAULTS
from tests.faults.cases import Bench, Case, sample
from tests.faults.processes import fast_directory
from tests.faults.scenarios import SCENARIOS

#: Cases that a process runs with the same bench.
_BLOCK = 200


def _block(scenario: str, fault: str, numbers: Sequence[int]) -> list[tuple[Case, list[str]]]:
    """Run these cases of a fault; return those that fail."""
    with tempfile.TemporaryDirectory(prefix="faults-", dir=fast_directory()) as directory:
        bench = Bench(Path(directory))
        try:
            cases = bench.undisturbed(scenario).cases(fault)
            results = [(case, bench.failures(case)) for case in (cases[number] for number in numbers)]
        finally:
            bench.close()
    return [(case, failures) for case, failures in results if failures]


def main(names: Sequence[str], most: int) -> int:
    """Run all cases of some scenarios, at most so many of each fault; return the exit code."""
    begin = time.monotonic()
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    failed = 0
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        for name in names:
            blocks = []
            with tempfile.TemporaryDirectory(dir=fast_directory()) as directory:
                bench = Bench(Path(directory))
                for fault in FAULTS:
                    cases = bench.undisturbed(name).cases(fault)
                    chosen = sorted(cases.index(case) for case in sample(cases, most, seed=0))
                    counts[name, fault] = len(chosen)
                    blocks += [
                        pool.submit(_block, name, fault, chosen[start : start + _BLOCK])
                        for start in range(0, len(chosen), _BLOCK)
                    ]
                bench.close()
            for block in concurrent.futures.as_completed(blocks):
                for case, failures in block.result():
                    failed += 1
                    print(case, *failures, sep="\n    ", flush=True)
            total = sum(number for (scenario, _), number in counts.items() if scenario == name)
            print(f"{name}: {total} cases, {(time.monotonic() - begin) / 60:.1f} min", flush=True)
    for fault in FAULTS:
        print(f"{fault:8}", *(f"{name} {counts[name, fault]}" for name in names))
    print(f"{sum(counts.values())} cases, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    chosen = [word for word in sys.argv[1:] if not word.isdigit()]
    limit = [int(word) for word in sys.argv[1:] if word.isdigit()]
    raise SystemExit(main(chosen or list(SCENARIOS), limit[0] if limit else sys.maxsize))
