"""A table of entries and hosts, with the route of every family of clients."""

import pytest

from agent.core.noproxy.dialects.families import DIALECTS
from agent.core.noproxy.dialects.request import parse_request

COLUMNS = "go curl-old curl curl-8.9 curl-8.18 wget urllib requests-old requests".split()

# (NO_PROXY, target, D for direct or P for proxy in the order of COLUMNS)
ROWS = [
    ("example.com", "example.com", "DDDDDDDDD"),
    ("example.com", "www.example.com", "DDDDDDDDD"),
    ("example.com", "notexample.com", "PPPPPPPDP"),
    ("EXAMPLE.com", "example.com", "DDDDDDDDD"),
    (".example.com", "www.example.com", "DDDDDDDDD"),
    (".example.com", "example.com", "PDDDDPDDD"),
    ("*.example.com", "www.example.com", "DPPPPPPPP"),
    ("*", "example.com", "DDDDDPDDD"),
    ("*", "10.0.3.4", "DDDDDPDDD"),
    ("example.org,*", "example.com", "DPPPPPPPP"),
    ("10.0.3.4", "10.0.3.4", "DDDDDDDDD"),
    ("10.0.0.0/16", "10.0.3.4", "DPDDDPPDD"),
    ("10.0.0.0/16", "10.1.3.4", "PPPPPPPPP"),
    ("10.0.0.0/16", "name.example", "PPPPPPPPP"),
    ("fd00:ec2::/32", "[fd00:ec2::254]", "DPPPDPPPP"),
    ("fd00:ec2::254", "[fd00:ec2::254]", "DDDDDDPDD"),
    ("[fd00:ec2::254]", "[fd00:ec2::254]", "PPPPPPDPP"),
    ("host.example:8080", "host.example:8080", "DPPPPPDDD"),
    ("host.example:8080", "host.example:8081", "PPPPPPPPP"),
    ("host.example:443", "https://host.example/", "DPPPPPPPP"),  # only Go compares the default port
    ("example.org,example.com\r", "example.com", "DPPPPPDDD"),
    ("example.org example.com", "example.com", "PDDPPPPPP"),  # requests reads one name; before 2.34 its suffix matches
    ("example.org, example.com", "example.com", "DDDDDDDDD"),
    (" example.com", "example.com", "DDDDDPDDD"),
    ("example.com ,x", "example.com", "DDDDDPDDD"),
    ("example.com.", "example.com", "PPDDDPPPP"),
    ("example.com", "example.com.", "PPDDDPPPP"),
    ("", "example.com", "PPPPPPPPP"),
    ("", "localhost", "DPPPPPPPP"),
    ("", "127.0.0.1", "DPPPPPPPP"),
    ("", "127.8.9.10", "DPPPPPPPP"),
    ("", "[::1]", "DPPPPPPPP"),
    ("localhost", "api.localhost", "DDDDDDDDD"),
    ("s3.eu-west-1.amazonaws.com", "bucket.s3.eu-west-1.amazonaws.com", "DDDDDDDDD"),
    (".s3.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com", "PDDDDPDDD"),
    ("com", "example.com", "DDDDDDDDD"),
    ("10.0.0.0/0", "10.0.3.4", "DPPPPPPPP"),
    (".3.4", "10.0.3.4", "PDPPPDDDD"),
    ("bücher.example", "bücher.example", "DPPPPPPPP"),
]


@pytest.mark.parametrize(("no_proxy", "target", "expected"), ROWS)
def test_route_of_each_family(no_proxy, target, expected):
    """Each family has the route of its column."""
    routes = "".join("P" if dialect.bypass(parse_request(target), no_proxy) is None else "D" for dialect in DIALECTS)
    assert dict(zip(COLUMNS, routes)) == dict(zip(COLUMNS, expected))


def test_columns_are_the_dialects():
    """The dialects have the order of the table, programs, and a title that fits a terminal."""
    assert [dialect.name for dialect in DIALECTS] == COLUMNS
    assert all(dialect.clients and dialect.title.isascii() and len(dialect.title) <= 16 for dialect in DIALECTS)
