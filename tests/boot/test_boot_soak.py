"""The soak (`make soak`), short and the same in each run, so that it cannot rot."""

from __future__ import annotations

import pytest

from tests.boot.harness.bed import Bed
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
    """Each event of the list leaves the node as planned, or degraded for its reason."""
    soak = Soak(bed, seed=1, limit=300, dwell=(0,))
    try:
        soak.run(0, EVENTS)
        soak.revert()
    finally:
        soak.close()
    assert len(soak.samples) == len(EVENTS)
