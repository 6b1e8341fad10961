"""dockerd's own settings of a proxy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.plan.elsewhere.docker import in_command_line, in_daemon_json

UNIT = "/usr/lib/systemd/system/docker.service"
DROP_IN = "/etc/systemd/system/docker.service.d/x.conf"


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (
            b'{"proxies": {"http-proxy": "http://old:1", "no-proxy": "a"}}',
            {"HTTP_PROXY": "http://old:1", "NO_PROXY": "a"},
        ),
        (b'{"proxies": {"https-proxy": "http://old:1", "default": {}}}', {"HTTPS_PROXY": "http://old:1"}),
        (b'{"proxies": {"https-proxy": ""}}', None),
        (b'{"proxies": {"https-proxy": 1}}', None),
        (b'{"proxies": []}', None),
        (b'{"live-restore": true}', None),
        (b"[]", None),
        (b"", None),
        (b"{", None),
        (b"\xff", None),
        (b"[" * 100000, None),
    ],
)
def test_proxies_of_daemon_json(content, values):
    """Only texts that are not empty override the environment."""
    place = in_daemon_json(content)
    assert (place.values if place else None) == values


@given(st.binary(max_size=60))
def test_any_daemon_json_is_read(content):
    """Nothing in it raises."""
    in_daemon_json(content)


@pytest.mark.parametrize(
    ("lines", "variables", "expected"),
    [
        ([(UNIT, "ExecStart", "/usr/bin/dockerd -H fd://")], {}, []),
        (
            [(UNIT, "ExecStart", "/usr/bin/dockerd --http-proxy=http://old:1 --no-proxy 'a,b' -H fd://")],
            {},
            [(UNIT, "--http-proxy, --no-proxy in ExecStart=", {"HTTP_PROXY": "http://old:1", "NO_PROXY": "a,b"})],
        ),
        # An empty ExecStart= resets those before it.
        (
            [
                (UNIT, "ExecStart", "dockerd --http-proxy=a"),
                (DROP_IN, "ExecStart", ""),
                (DROP_IN, "ExecStart", "dockerd"),
            ],
            {},
            [],
        ),
        (
            [(UNIT, "ExecStart", "dockerd $OPTIONS ${MORE} $UNSET")],
            {"OPTIONS": ("/etc/sysconfig/docker", '--https-proxy "http://old:1"'), "OTHER": ("/x", "--http-proxy=a")},
            [("/etc/sysconfig/docker", "--https-proxy in OPTIONS", {"HTTPS_PROXY": "http://old:1"})],
        ),
        ([(UNIT, "ExecStartPre", "dockerd --http-proxy=a")], {}, []),
    ],
)
def test_flags_of_dockerd(lines, variables, expected):
    """They are in ExecStart=, or in a variable that it names."""
    places = list(in_command_line(lines, variables))
    assert [(place.path, place.setting, place.values) for place in places] == expected
    assert all(place.unit == "docker.service" and f"from {place.path}; " in place.remedy for place in places)
