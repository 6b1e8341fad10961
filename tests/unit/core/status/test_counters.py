"""The counters of status.json."""

import pytest

from agent import errors
from agent.core.status.counters import CATEGORIES, RESTARTS, RESULTS, Counters
from agent.core.status.document import PHASES
from agent.node.units import Outcome


def test_each_event_adds_one_to_its_counter():
    """The other counters stay; the counters before the event do not change."""
    start = Counters()
    counters = start.after_pass("degraded").after_pass("configured").after_pass("configured")
    counters = counters.after_failure("metadata").after_restart("failed")
    counters = counters.after_check([True, False, True], failover=True).after_check([True], failover=False)
    assert counters.passes == {"configured": 2, "unconfigured": 0, "degraded": 1}
    assert (sum(counters.failures.values()), counters.failures["metadata"]) == (1, 1)
    assert counters.restarts == {"restarted": 0, "refused": 0, "failed": 1}
    assert (counters.probes, counters.failovers) == ({"up": 3, "down": 1}, 1)
    assert start == Counters()
    assert Counters.from_json(counters.to_json()) == counters


def test_every_event_has_a_counter():
    """Phases, outcomes of restarts and categories of errors are those of the code."""
    assert RESULTS == PHASES
    assert set(RESTARTS) == {outcome.value for outcome in Outcome}
    categories = {
        error.category
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.AgentError)
    }
    assert categories == set(CATEGORIES)


def test_two_errors_have_the_category_of_the_first():
    """The second is often a consequence of it."""
    both = errors.combined(errors.MetadataError("a"), errors.FileError("b"))
    assert errors.as_agent_error(both).category == "metadata"
    assert errors.as_agent_error(RuntimeError("bug")).category == "other"


@pytest.mark.parametrize(
    "data", [{}, {"passes": 1}, {**Counters().to_json(), "failovers": -1}, {**Counters().to_json(), "probes": None}]
)
def test_invalid_counters_are_refused(data):
    """The caller treats status.json as corrupt."""
    with pytest.raises((KeyError, TypeError, AttributeError)):
        Counters.from_json(data)


def test_other_names_are_dropped_and_missing_ones_are_zero():
    """An older or newer version may count other events."""
    data = Counters().to_json()
    counters = Counters.from_json({**data, "failures": {"metadata": 2, "new": 5}})
    assert (counters.failures["metadata"], counters.failures["crash"], "new" in counters.failures) == (2, 0, False)
