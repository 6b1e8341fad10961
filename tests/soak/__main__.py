"""`make soak MINUTES=60 SEED=7`: events at random on a booted node, and the invariants after each.

Exit code 1 means that an invariant did not hold; the last line names the journal of the node.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
import traceback
from pathlib import Path

from tests.boot import conftest
from tests.boot.harness.bed import Bed
from tests.boot.harness.command import BedError
from tests.boot.harness.root import REPOSITORY

from .soak import Soak, Violation


def main() -> int:
    """Run the soak; return the exit code."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(10**6), help="that of an earlier run, to repeat it"
    )
    parser.add_argument("--events", default="", help="names of events, to run only these")
    options = parser.parse_args()
    reasons = conftest.missing()
    if reasons:
        print(f"cannot boot nodes here: {'; '.join(reasons)}", file=sys.stderr)
        return 1
    evidence = REPOSITORY / "build/soak" / f"seed-{options.seed}"
    print(f"seed {options.seed}, {options.minutes:g} minutes; to repeat it: make soak SEED={options.seed}", flush=True)
    bed = Bed()
    try:
        return _run(bed, options, evidence)
    finally:
        bed.close()


def _run(bed: Bed, options: argparse.Namespace, evidence: Path) -> int:
    seconds = options.minutes * 60
    begin = time.monotonic()
    soak = Soak(bed, options.seed, limit=seconds + 3600, say=lambda line: print(line, flush=True))
    failed = []
    try:
        soak.run(seconds, tuple(options.events.split()))
        soak.revert()
    except Violation as error:
        failed = list(error.problems)
    except BedError as error:
        failed = [str(error)]
    except Exception:  # noqa: BLE001 -- a bug of the soak itself must not lose an hour of figures
        failed = [traceback.format_exc()]
    lines, grown = soak.summary()
    print(f"\nseed {options.seed}, {(time.monotonic() - begin) / 60:.0f} minutes", *lines, sep="\n", flush=True)
    try:
        soak.save_evidence(evidence)
        print(f"journal of the node: {evidence}/journal.txt")
    finally:
        soak.close()
    for problem in failed + grown:
        print(f"violated: {problem}", file=sys.stderr)
    return 1 if failed or grown else 0


if __name__ == "__main__":
    raise SystemExit(main())
