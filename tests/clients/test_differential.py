"""Each dialect against the clients themselves: what it says of a case is what they do."""

import pytest

from tests.clients import cases
from tests.clients.harness.clients import BY_NAME, CLIENTS, expected, seen


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_the_client_goes_as_its_dialect_says(client, answers):
    """Every case: the first connection goes to the proxy, or not, as the dialect says."""
    asked = client.cases()
    ways = [seen(port) for port in answers[client.name].result()]
    wrong = [
        f"{client.name} went {way}, {client.dialect.name} says {expected(client.dialect, case)}: {case}"
        for case, way in zip(asked, ways)
        if way != expected(client.dialect, case)
    ]
    assert (len(ways), wrong) == (len(asked), [])
    assert {"proxy", "direct"} == set(ways)


def test_every_dialect_meets_a_client():
    """No dialect is believed without a client that speaks it."""
    assert set(BY_NAME) <= {client.dialect.name for client in CLIENTS}


def test_the_cases_are_many_and_always_the_same():
    """Some hundreds of pairs, drawn alike in every run, and each dialect treats some of them unlike
    any other.
    """
    found = cases.exceptions()
    assert len(found) > 500
    assert [str(case) for case in found] == [str(case) for case in cases.exceptions()]
    verdicts = {name: tuple(expected(dialect, case) for case in found) for name, dialect in BY_NAME.items()}
    assert len(set(verdicts.values())) == len(verdicts)
