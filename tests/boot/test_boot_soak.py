"""The soak (`make soak`), short and the same in each run, so that it cannot rot."""

from __future__ import annotations

import pytest

from tests.boot.harness.bed import Bed
from tests.soak import figures
from tests.soak.figures import Sample
from tests.soak.soak import Soak

EVENTS = (
    "settings.removed",
    "settings.back",
    "file.tamper",
    "worker.kill",
    "daemon.kill",
    "commands",
)


@pytest.mark.long
def test_invariants_hold_after_some_events_and_revert(bed: Bed) -> None:
    """Each event of the list leaves the node as planned; what is not so is reported."""
    soak = Soak(bed, seed=1, limit=600, dwell=(0,))
    try:
        soak.run(0, EVENTS)
        soak.world.no_proxy.append("absent.example.test")
        soak.world.secrets.add(soak.world.urls[0])
        seen = soak.node.observe()
        assert soak.judge.quick(seen) == ["NO_PROXY lacks absent.example.test"]
        assert "/etc/environment shows the password" in soak.judge.deep(seen)
        soak.world.no_proxy.clear()
        soak.world.secrets.clear()
        soak.revert()
    finally:
        soak.close()
    assert len(soak.samples) == len(EVENTS)


def test_figures_that_grow_are_reported() -> None:
    """A descriptor that leaks every fifth event exceeds its bound; a constant figure does not."""
    samples = [Sample("vpc.cidrs", 1.0, 14000, 1, 6 + number // 5, 0, 3000, 2, 4) for number in range(60)]
    lines, grown = figures.summary(samples)
    assert grown == ["descriptors grew from 7 to 16, bound 9"]
    assert "rss_kb: first quarter 14000, last quarter 14000, at most 14000 (bound 15212)" in lines
