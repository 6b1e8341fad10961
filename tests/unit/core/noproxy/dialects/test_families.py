"""A table of entries and hosts, with the route of every family of clients."""

import pytest

from agent.core.noproxy.dialects.families import ALL_DIALECTS
from agent.core.noproxy.dialects.request import parse_request

COLUMNS = (
    "go curl-old curl curl-8.9 curl-8.18 wget urllib requests-old requests node-fetch node-http axios-old axios".split()
)

# (NO_PROXY, target, D for direct or P for proxy in the order of COLUMNS)
ROWS = [
    ("example.com", "example.com", "DDDDDDDDDDDDD"),
    ("example.com", "www.example.com", "DDDDDDDDDDPPP"),
    ("example.com", "notexample.com", "PPPPPPPDPPPPP"),
    ("EXAMPLE.com", "example.com", "DDDDDDDDDDDDD"),
    (".example.com", "www.example.com", "DDDDDDDDDDDDD"),
    (".example.com", "example.com", "PDDDDPDDDDDPP"),
    ("*.example.com", "www.example.com", "DPPPPPPPPDDDD"),
    ("*", "example.com", "DDDDDPDDDDDDD"),
    ("*", "10.0.3.4", "DDDDDPDDDDDDD"),
    ("example.org,*", "example.com", "DPPPPPPPPPDDD"),
    ("10.0.3.4", "10.0.3.4", "DDDDDDDDDDDDD"),
    ("10.0.0.0/16", "10.0.3.4", "DPDDDPPDDPPPD"),
    ("10.0.0.0/16", "10.1.3.4", "PPPPPPPPPPPPP"),
    ("10.0.0.0/16", "name.example", "PPPPPPPPPPPPP"),
    ("fd00:ec2::/32", "[fd00:ec2::254]", "DPPPDPPPPPPPD"),
    ("fd00:ec2::254", "[fd00:ec2::254]", "DDDDDDPDDPDPD"),
    ("[fd00:ec2::254]", "[fd00:ec2::254]", "PPPPPPDPPDPDD"),
    ("host.example:8080", "host.example:8080", "DPPPPPDDDDDDD"),
    ("host.example:8080", "host.example:8081", "PPPPPPPPPPPPP"),
    ("host.example:443", "https://host.example/", "DPPPPPPPPDDDD"),  # only Go compares the default port
    ("example.org,example.com\r", "example.com", "DPPPPPDDDDDDD"),
    (
        "example.org example.com",
        "example.com",
        "PDDPPPPPPDPDD",
    ),  # requests reads one name; before 2.34 its suffix matches
    ("example.org, example.com", "example.com", "DDDDDDDDDDDDD"),
    (" example.com", "example.com", "DDDDDPDDDDDDD"),
    ("example.com ,x", "example.com", "DDDDDPDDDDDDD"),
    ("example.com.", "example.com", "PPDDDPPPPPPPD"),
    ("example.com", "example.com.", "PPDDDPPPPPPPD"),
    ("", "example.com", "PPPPPPPPPPPPP"),
    ("", "localhost", "DPPPPPPPPPPPP"),
    ("", "127.0.0.1", "DPPPPPPPPPPPP"),
    ("", "127.8.9.10", "DPPPPPPPPPPPP"),
    ("", "[::1]", "DPPPPPPPPPPPP"),
    ("localhost", "api.localhost", "DDDDDDDDDDPPP"),
    ("s3.eu-west-1.amazonaws.com", "bucket.s3.eu-west-1.amazonaws.com", "DDDDDDDDDDPPP"),
    (".s3.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com", "PDDDDPDDDDDPP"),
    ("com", "example.com", "DDDDDDDDDDPPP"),
    ("10.0.0.0/0", "10.0.3.4", "DPPPPPPPPPPPD"),
    (".3.4", "10.0.3.4", "PDPPPDDDDDDDD"),
    ("bücher.example", "bücher.example", "DPPPPPPPPPPPD"),
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
