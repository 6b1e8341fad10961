"""Figures of the soak, and their comparison between the first and the last quarter."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """What was measured after an event."""

    event: str
    seconds: float
    rss_kb: int
    threads: int
    descriptors: int
    temporaries: int
    state_bytes: int
    state_files: int
    journal_lines: int


#: How much more the median of the last quarter may be than that of the first: a factor, and an
#: amount.  A leak of one descriptor a cycle, or of 4 KiB, is more than that within an hour.
BOUNDS: dict[str, tuple[float, float]] = {
    "rss_kb": (1.05, 512),
    "threads": (1, 0),
    "descriptors": (1, 2),
    "temporaries": (1, 0),
    "state_bytes": (1.25, 4096),
    "state_files": (1, 2),
    "journal_lines": (1.5, 5),
}
#: With fewer events a quarter is too short to be compared.
ENOUGH = 40


def summary(samples: Sequence[Sample]) -> tuple[list[str], list[str]]:
    """Return the lines of the summary, and the figures that are not flat."""
    if not samples:
        return ["no event"], []
    counts = Counter(sample.event for sample in samples)
    times = sorted(sample.seconds for sample in samples)
    lines = [
        f"{len(samples)} events: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())),
        f"seconds an event: median {statistics.median(times):.1f}, longest {times[-1]:.1f}",
    ]
    quarter = max(1, len(samples) // 4)
    grown = []
    for name, (factor, amount) in BOUNDS.items():
        values = [getattr(sample, name) for sample in samples]
        first, last = statistics.median(values[:quarter]), statistics.median(values[-quarter:])
        bound = first * factor + amount
        lines.append(
            f"{name}: first quarter {first:g}, last quarter {last:g}, at most {max(values):g} (bound {bound:g})"
        )
        if len(samples) >= ENOUGH and last > bound:
            grown.append(f"{name} grew from {first:g} to {last:g}, bound {bound:g}")
    return lines, grown
