"""A table of entries and hosts, with the route of every family of clients."""

import pytest

from agent.core.noproxy.dialects.families import ALL_DIALECTS
from agent.core.noproxy.dialects.request import parse_request

COLUMNS = "go curl-old curl curl-8.9 curl-8.18 wget urllib requests-old requests node-fetch node-http axios".split()

# (NO_PROXY, target, D for direct or P for proxy in the order of COLUMNS)
ROWS = [
    ("example.com", "example.com", "DDDDDDDDDDDD"),
    ("example.com", "www.example.com", "DDDDDDDDDDPP"),
    ("example.com", "notexample.com", "PPPPPPPDPPPP"),
    ("EXAMPLE.com", "example.com", "DDDDDDDDDDDD"),
    (".example.com", "www.example.com", "DDDDDDDDDDDD"),
    (".example.com", "example.com", "PDDDDPDDDDDP"),
    ("*.example.com", "www.example.com", "DPPPPPPPPDDD"),
    ("*", "example.com", "DDDDDPDDDDDD"),
    ("*", "10.0.3.4", "DDDDDPDDDDDD"),
    ("example.org,*", "example.com", "DPPPPPPPPPDD"),
    ("10.0.3.4", "10.0.3.4", "DDDDDDDDDDDD"),
    ("10.0.0.0/16", "10.0.3.4", "DPDDDPPDDPPP"),
    ("10.0.0.0/16", "10.1.3.4", "PPPPPPPPPPPP"),
    ("10.0.0.0/16", "name.example", "PPPPPPPPPPPP"),
    ("fd00:ec2::/32", "[fd00:ec2::254]", "DPPPDPPPPPPP"),
    ("fd00:ec2::254", "[fd00:ec2::254]", "DDDDDDPDDPDP"),
    ("[fd00:ec2::254]", "[fd00:ec2::254]", "PPPPPPDPPDPD"),
    ("host.example:8080", "host.example:8080", "DPPPPPDDDDDD"),
    ("host.example:8080", "host.example:8081", "PPPPPPPPPPPP"),
    ("host.example:443", "https://host.example/", "DPPPPPPPPDDD"),  # only Go compares the default port
    ("example.org,example.com\r", "example.com", "DPPPPPDDDDDD"),
    (
        "example.org example.com",
        "example.com",
        "PDDPPPPPPDPD",
    ),  # requests reads one name; before 2.34 its suffix matches
    ("example.org, example.com", "example.com", "DDDDDDDDDDDD"),
    (" example.com", "example.com", "DDDDDPDDDDDD"),
    ("example.com ,x", "example.com", "DDDDDPDDDDDD"),
    ("example.com.", "example.com", "PPDDDPPPPPPP"),
    ("example.com", "example.com.", "PPDDDPPPPPPP"),
    ("", "example.com", "PPPPPPPPPPPP"),
    ("", "localhost", "DPPPPPPPPPPP"),
    ("", "127.0.0.1", "DPPPPPPPPPPP"),
    ("", "127.8.9.10", "DPPPPPPPPPPP"),
    ("", "[::1]", "DPPPPPPPPPPP"),
    ("localhost", "api.localhost", "DDDDDDDDDDPP"),
    ("s3.eu-west-1.amazonaws.com", "bucket.s3.eu-west-1.amazonaws.com", "DDDDDDDDDDPP"),
    (".s3.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com", "PDDDDPDDDDDP"),
    ("com", "example.com", "DDDDDDDDDDPP"),
    ("10.0.0.0/0", "10.0.3.4", "DPPPPPPPPPPP"),
    (".3.4", "10.0.3.4", "PDPPPDDDDDDD"),
    ("bücher.example", "bücher.example", "DPPPPPPPPPPP"),
]


@pytest.mark.parametrize(("no_proxy", "target", "expected"), ROWS)
def test_route_of_each_family(no_proxy, target, expected):
    """Each family has the route of its column."""
    routes = "".join(
        "P" if dialect.bypass(parse_request(target), no_proxy) is None else "D" for dialect in ALL_DIALECTS
    )
    assert dict(zip(COLUMNS, routes)) == dict(zip(COLUMNS, expected))


def test_columns_are_the_dialects():
    """The dialects have the order of the table, programs, and a title that fits a terminal."""
    assert [dialect.name for dialect in ALL_DIALECTS] == COLUMNS
    assert all(dialect.clients and dialect.title.isascii() and len(dialect.title) <= 16 for dialect in ALL_DIALECTS)
