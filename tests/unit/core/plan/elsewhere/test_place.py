"""How a place that sets a proxy differs from the desired values."""

import pytest

from agent.core.plan.elsewhere.place import ProxyPlace, is_proxy_name

DESIRED = {
    "http_proxy": "http://me:pw@proxy.corp:3128",
    "https_proxy": "http://me:pw@proxy.corp:3128",
    "HTTPS_PROXY": "http://me:pw@proxy.corp:3128",
    "NO_PROXY": "localhost",
}


def place(values, unit=""):
    """A place with these values."""
    return ProxyPlace("/etc/x", "", "its readers", values, "delete it", unit=unit)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, ""),
        ({"http_proxy": "http://me:pw@proxy.corp:3128/"}, ""),
        ({"http_proxy": "http://proxy.corp:3128"}, ""),
        ({"HTTPS_PROXY": "http://old:1"}, "sets HTTPS_PROXY to http://old:1 for its readers"),
        (
            {"https_proxy": "http://old:1", "HTTPS_PROXY": "http://old:1", "NO_PROXY": "a"},
            "sets HTTPS_PROXY to http://old:1, another NO_PROXY for its readers",
        ),
        ({"http_proxy": ""}, "sets http_proxy to nothing for its readers"),
        ({"all_proxy": "u:secret@old:1"}, "sets all_proxy to ***@old:1 for its readers"),
        ({"http_proxy": "http://\x1b[1m"}, "sets http_proxy to http://\\x1b[1m for its readers"),
    ],
)
def test_the_text_names_what_differs(values, text):
    """Each variable is named once, with its value without credentials, safe to print."""
    assert place(values).text(DESIRED) == text


def test_a_place_of_a_unit_needs_the_credentials():
    """A unit that uses it would have none; but only if the desired values have theirs."""
    winning = place({"http_proxy": "http://proxy.corp:3128"}, unit="docker.service")
    assert winning.text(DESIRED) == "sets http_proxy to http://proxy.corp:3128 for its readers"
    assert winning.text(DESIRED, has_credentials=False) == ""


def test_a_long_value_is_cut():
    """The text stays a line."""
    assert len(place({"http_proxy": "http://" + "x" * 9999}).text(DESIRED)) < 300


@pytest.mark.parametrize("length", [1, 30, 1_000])
def test_a_long_password_is_not_shown(length):
    """A value is redacted before it is cut: without its end, user info is not recognized."""
    text = place({"http_proxy": f"http://alice:{'s3cr3t' * length}@old.corp:3128"}).text(DESIRED)
    assert text == "sets http_proxy to http://***@old.corp:3128 for its readers"


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "no_proxy", "ALL_PROXY"])
def test_names_of_proxies(name):
    """They are in lower or in upper case."""
    assert is_proxy_name(name)


@pytest.mark.parametrize("name", ["Http_Proxy", "proxy", "xhttp_proxy", ""])
def test_other_names(name):
    """No client reads them."""
    assert not is_proxy_name(name)
