"""The expiry of several CA certificates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.net.ca_certificates import next_expiry

NOW = 1000.0
EXPIRIES = st.lists(st.floats(0, 2 * NOW), min_size=1)


@pytest.mark.parametrize(
    ("expiries", "expected"),
    [
        ([2000], 2000),
        ([3000, 2000], 2000),
        ([500, 3000, 2000], 2000),
        ([1000, 2000], 2000),
        ([500], 500),
        ([400, 500, 300], 500),
        ([1000], 1000),
    ],
)
def test_expired_certificates_count_only_if_all_have_expired(expiries, expected):
    """An old CA that is kept beside the new one does not hide when the new one expires."""
    assert next_expiry(expiries, NOW) == expected


@given(EXPIRIES)
def test_it_has_passed_only_if_all_have(expiries):
    """It is one of them, and none that is still valid expires before it."""
    expiry = next_expiry(expiries, NOW)
    assert expiry in expiries
    assert (expiry <= NOW) == all(other <= NOW for other in expiries)
    assert not any(NOW < other < expiry for other in expiries)


@given(EXPIRIES, st.floats(0, NOW))
def test_another_expired_certificate_changes_nothing_while_one_is_valid(expiries, expired):
    """A root that expired long ago is in many bundles."""
    if max(expiries) > NOW:
        assert next_expiry([*expiries, expired], NOW) == next_expiry(expiries, NOW)
