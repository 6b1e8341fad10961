"""`make fuzz MINUTES=60`: rounds of the fuzz targets, each with another seed, until time is up.

The first failure ends it; hypothesis prints the smallest input, and keeps it in .hypothesis for the
next run.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

#: Examples of each target in a round; a round takes a few minutes.
EXAMPLES = "3000"


def main(minutes: float) -> int:
    """Return the exit code of the first round that fails, else 0."""
    begin = time.monotonic()
    rounds = 0
    while rounds == 0 or time.monotonic() - begin < minutes * 60:
        rounds += 1
        seed = str(secrets.randbelow(1 << 32))
        print(f"round {rounds}, seed {seed}, {(time.monotonic() - begin) / 60:.0f} of {minutes:g} min", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "--hypothesis-seed", seed, "tests/fuzz"],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "FUZZ_EXAMPLES": EXAMPLES, "CI": ""},
            check=False,
        )
        if done.returncode != 0:
            return done.returncode
    return 0


if __name__ == "__main__":
    raise SystemExit(main(float(sys.argv[1])))
