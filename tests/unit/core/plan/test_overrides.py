"""Drop-ins of others that override the agent's, or lose to it, recognized by their text."""

import pytest

from agent.core.plan.overrides import directories, overridden, overriding

PROXY = "http://proxy.corp:3128"
VARIABLES = tuple((name, PROXY) for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY")) + (
    ("no_proxy", "localhost"),
    ("NO_PROXY", "localhost"),
)
DIRECTORY = "/etc/systemd/system/docker.service.d"
LATER, BETWEEN, EARLIER = f"{DIRECTORY}/zzz-exempt.conf", f"{DIRECTORY}/override.conf", f"{DIRECTORY}/10-docker.conf"
FILES = {
    "/etc/docker.env": {"HTTPS_PROXY": "http://other:1", "A": "1"},
    "/etc/same.env": {"HTTPS_PROXY": PROXY, "A": "1"},
    "/etc/a.env": {"A": "1"},
    "/etc/environment": {"http_proxy": "http://old:1"},
}


def read(path):
    """Return the variables of a file; an absent one has none."""
    return FILES.get(path, {})


def service(*lines):
    """The text of a drop-in."""
    return "\n".join(["[Service]", *lines, ""]).encode()


def warnings(*drop_ins, unit="docker.service"):
    """The warnings about drop-ins (path, lines)."""
    return list(overriding(unit, [(path, service(*lines)) for path, *lines in drop_ins], read, VARIABLES))


@pytest.mark.parametrize(
    "drop_ins",
    [
        [],
        [(BETWEEN, "EnvironmentFile=/etc/docker.env")],
        [(BETWEEN, "EnvironmentFile=")],
        [(LATER, "Environment=HTTPS_PROXY=http://other:1")],
        [(LATER, "EnvironmentFile=-/etc/same.env")],
        [(LATER, "EnvironmentFile=-/etc/a.env", "Restart=always")],
        [(LATER, "EnvironmentFile=/etc/absent")],
        [(LATER, "EnvironmentFile=", "EnvironmentFile=-/etc/eks-proxy-agent/node.env")],
        [(LATER, "EnvironmentFile=/etc/docker.env", "EnvironmentFile=-/etc/eks-proxy-agent/node.env")],
        [(LATER, "#EnvironmentFile=/etc/docker.env", "; UnsetEnvironment=no_proxy")],
        [(LATER, "[Unit]", "EnvironmentFile=/etc/docker.env")],
        [(BETWEEN, "UnsetEnvironment=A HTTPS_PROXY=http://other:1")],
        [(BETWEEN, "UnsetEnvironment=no_proxy"), (LATER, "UnsetEnvironment=")],
    ],
)
def test_a_drop_in_that_changes_no_variable_is_not_named(drop_ins):
    """Environment= never wins over a file, and what is read earlier loses."""
    assert warnings(*drop_ins) == []


@pytest.mark.parametrize(
    ("drop_ins", "warning"),
    [
        (
            [(LATER, "EnvironmentFile=-/etc/docker.env")],
            f"EnvironmentFile=/etc/docker.env of {LATER} overrides HTTPS_PROXY of docker.service",
        ),
        (
            [(LATER, "EnvironmentFile = \\", " /etc/docker.env")],
            f"EnvironmentFile=/etc/docker.env of {LATER} overrides HTTPS_PROXY of docker.service",
        ),
        (
            [(LATER, "EnvironmentFile=")],
            f"{LATER} resets EnvironmentFile=, so docker.service gets no proxy of the agent",
        ),
        (
            [(LATER, "EnvironmentFile=/etc/environment")],
            f"EnvironmentFile=/etc/environment of {LATER} overrides http_proxy of docker.service",
        ),
        (
            [(EARLIER, 'UnsetEnvironment="no_proxy" NO_PROXY A')],
            f"UnsetEnvironment= of {EARLIER} removes no_proxy, NO_PROXY of docker.service",
        ),
        (
            [(EARLIER, "UnsetEnvironment=HTTPS_PROXY=" + PROXY)],
            f"UnsetEnvironment= of {EARLIER} removes HTTPS_PROXY of docker.service",
        ),
    ],
)
def test_a_drop_in_that_sets_or_removes_a_variable_is_named(drop_ins, warning):
    """The drop-in, the line and the variable are named, never a value."""
    assert warnings(*drop_ins) == [warning]


def test_what_nodeadm_does_not_get_cannot_be_overridden():
    """Its drop-in removes http_proxy, and a later reset of that line is named."""
    lines = ("EnvironmentFile=/etc/environment",)
    assert warnings((LATER, *lines), unit="nodeadm-run.service") == []
    (warning,) = warnings((LATER, "UnsetEnvironment="), unit="nodeadm-run.service")
    assert warning == f"{LATER} resets UnsetEnvironment=, so nodeadm-run.service gets http_proxy, HTTP_PROXY"


@pytest.mark.parametrize(
    ("path", "line", "named"),
    [
        (BETWEEN, "EnvironmentFile=/etc/docker.env", (True, True)),
        (BETWEEN, "EnvironmentFile=", (False, True)),
        (BETWEEN, "EnvironmentFile=/etc/environment", (False, False)),
        (BETWEEN, "EnvironmentFile=/etc/a.env", (False, False)),
        (BETWEEN, "Environment=HTTPS_PROXY=http://other:1", (False, False)),
        (EARLIER, "EnvironmentFile=/etc/docker.env", (True, False)),
        (LATER, "EnvironmentFile=/etc/docker.env", (False, False)),
    ],
)
def test_what_loses_to_a_new_drop_in_is_named(path, line, named):
    """On a rename only what was read after the former name; it names the remedy."""
    for is_rename, expected in zip((False, True), named):
        notes = list(overridden("docker.service", [(path, service(line))], read, is_rename=is_rename))
        assert len(notes) == expected
        assert all(path in note and "node.units" in note for note in notes)


@pytest.mark.parametrize(
    ("unit", "names"),
    [
        ("docker.service", ["docker.service.d"]),
        ("a-b-c.service", ["a-b-c.service.d", "a-b-.service.d", "a-.service.d"]),
        ("a-b@c-d.service", ["a-b@c-d.service.d", "a-b@.service.d", "a-.service.d"]),
    ],
)
def test_directories_are_those_of_systemd(unit, names):
    """They are those of the unit, its template, its prefixes and all services (systemd.unit(5))."""
    found = directories(unit)
    assert list(found[: len(names)]) == [f"/etc/systemd/system/{name}" for name in names]
    assert found[len(names)] == f"/run/systemd/system/{names[0]}"
    assert found[-1] == "/usr/lib/systemd/system/service.d"
    assert len(found) == len(set(found)) == 4 * (len(names) + 1)
