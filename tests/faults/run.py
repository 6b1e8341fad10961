"""`make faults`: a fault at each call of each scenario.

`python -m tests.faults.run [SCENARIO ...] [FAULT ...] [NUMBER]` runs some scenarios and faults, and
at most so many cases of each.  Failures are printed as they occur; the last lines are the counts.
"""

from __future__ import annotations

import concurrent.futures
import functools
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
_BLOCK = 100


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


def main(words: Sequence[str]) -> int:
    """Run the cases that the words of the command line select; return the exit code."""
    unknown = [word for word in words if word not in (*SCENARIOS, *FAULTS) and not word.isdigit()]
    if unknown:
        print(f"{unknown[0]}: not a scenario ({', '.join(SCENARIOS)}) or fault ({', '.join(FAULTS)})", file=sys.stderr)
        return 2
    names = [word for word in words if word in SCENARIOS] or list(SCENARIOS)
    faults = [word for word in words if word in FAULTS] or list(FAULTS)
    most = next((int(word) for word in words if word.isdigit()), sys.maxsize)
    begin = time.monotonic()
    counts = {(name, fault): _chosen(name, fault, most) for name in names for fault in faults}
    failed = done = 0
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        blocks = {
            pool.submit(_block, name, fault, numbers[start : start + _BLOCK]): len(numbers[start : start + _BLOCK])
            for (name, fault), numbers in counts.items()
            for start in range(0, len(numbers), _BLOCK)
        }
        for block in concurrent.futures.as_completed(blocks):
            done += blocks[block]
            for case, failures in block.result():
                failed += 1
                print(case, *failures, sep="\n    ", flush=True)
            print(f"{done} cases, {failed} failed, {(time.monotonic() - begin) / 60:.1f} min", flush=True)
    for fault in faults:
        print(f"{fault:8}", *(f"{name} {len(counts[name, fault])}" for name in names))
    return 1 if failed else 0


@functools.lru_cache
def _cases(name: str) -> dict[str, list[Case]]:
    """Return all cases of a scenario by their fault."""
    with tempfile.TemporaryDirectory(prefix="faults-", dir=fast_directory()) as directory:
        bench = Bench(Path(directory))
        try:
            return {fault: bench.undisturbed(name).cases(fault) for fault in FAULTS}
        finally:
            bench.close()


def _chosen(name: str, fault: str, most: int) -> list[int]:
    """Return the numbers of the cases to run."""
    cases = _cases(name)[fault]
    numbers = {case: number for number, case in enumerate(cases)}
    return sorted(numbers[case] for case in sample(cases, most, seed=0))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
