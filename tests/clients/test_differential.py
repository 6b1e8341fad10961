"""Each dialect compared with its real clients: both give the same route for each case."""

import pytest

from tests.clients import cases
from tests.clients.harness.clients import BY_NAME, CLIENTS, actual_route, expected_route


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_client_agrees_with_its_dialect(client, results):
    """In every case the first connection has the route of the dialect."""
    requested = client.cases()
    routes = [actual_route(port) for port in results[client.name].result()]
    wrong = [
        f"{client.name}: expected {expected_route(client.dialect, case)}, got {route}: {case}"
        for case, route in zip(requested, routes)
        if route != expected_route(client.dialect, case)
    ]
    assert (len(routes), wrong) == (len(requested), [])
    assert {"proxy", "direct"} == set(routes)


def test_every_dialect_has_a_client():
    """Each dialect is tested with a real client."""
    assert set(BY_NAME) <= {client.dialect.name for client in CLIENTS}


def test_cases_are_many_and_always_the_same():
    """Several hundred cases are equal in every run, and distinguish all dialects."""
    generated = cases.exceptions()
    assert len(generated) > 500
    assert [str(case) for case in generated] == [str(case) for case in cases.exceptions()]
    routes = {name: tuple(expected_route(dialect, case) for case in generated) for name, dialect in BY_NAME.items()}
    assert len(set(routes.values())) == len(routes)
