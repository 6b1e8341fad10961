"""Proxy in the CloudWatch agent's own file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.plan.elsewhere.cloudwatch import in_common_config


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b'[proxy]\nhttp_proxy = "http://old:1"\nno_proxy = "a"\n', {"HTTP_PROXY": "http://old:1", "NO_PROXY": "a"}),
        (b'[proxy]\nhttps_proxy = ""\n', {"HTTPS_PROXY": ""}),  # present, so the environment does not count
        (b"[proxy]\nhttps_proxy = 1\n", None),
        (b'# [proxy]\n#    http_proxy = "{http_url}"\n', None),
        (b'proxy = "http://old:1"\n', None),
        (b"[credentials]\n", None),
        (b"", None),
        (b"[proxy", None),
        (b"\xff", None),
    ],
)
def test_proxies_of_common_config(content, values):
    """A key that is there overrides the variable of the environment."""
    place = in_common_config(content)
    assert (place.values if place else None) == values


@given(st.binary(max_size=60))
def test_any_common_config_is_read(content):
    """Nothing in it raises."""
    in_common_config(content)
