"""/etc/environment with its real readers: systemd, pam_env, sh, bash and `systemd --user`.

None of them needs PID 1.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.noproxy.entries import PAM_LINE_LIMIT
from agent.core.plan.files import environment
from tests.integration.environment_readers import NEEDED, READERS

# Other lines of a realistic file; every reader must accept them.
FOREIGN = (
    b"# written by cloud-init\n\nLANG=C.UTF-8\r\nexport EDITOR=vi\nQUOTED='a b'\nno_proxy=old\nhttp_proxy=old\nLAST=1"
)
LONG = ",".join(
    ["localhost", "127.0.0.1", "::1", "[fd00:ec2::254]", ".internal"] + [f"10.{n}.0.0/16" for n in range(200)]
)
REALISTIC = {
    "plain": ("http://proxy.corp:3128", "localhost,127.0.0.1,::1,[::1],169.254.169.254,.internal,10.0.0.0/16"),
    "credentials": ("http://us%20er:p%40%7E%23%24%27%22%5C@proxy.corp:3128", "localhost"),
    "IPv6": ("http://[2001:db8::1]:3128", "fd00:ec2::254,[fd00:ec2::254],2600:1f16:67f:f200::/56"),
    "long": ("http://proxy.corp:3128", LONG),
}


@pytest.fixture(autouse=True, params=READERS)
def read(request, tmp_path):
    """One of the five readers.

    If it is not installed, the test is skipped; under CI=true it fails.
    """
    probe = tmp_path / "probe"
    probe.write_bytes(b"PROBE=1\n")
    try:
        assert READERS[request.param](probe, tmp_path)["PROBE"] == "1"
    except (OSError, ValueError, AttributeError) as error:
        pytest.skip(f"not installed: {NEEDED.get(request.param, request.param)} (tests/packages.txt): {error}")

    def read_edited(current, variables):
        path = tmp_path / "environment"
        path.write_bytes(environment.EnvironmentFile(variables).merge(current))
        values = READERS[request.param](path, tmp_path)
        return tuple((name, values.get(name)) for name, _ in variables), values

    return read_edited


def six(*values):
    """Return the six variables with these values, repeated as needed."""
    return tuple((name, values[number % len(values)]) for number, name in enumerate(environment.NAMES))


@pytest.mark.parametrize("proxy", REALISTIC)
def test_every_reader_gets_the_agents_values(read, proxy):
    """Percent signs, brackets and long lists arrive unchanged, and the other lines still do."""
    url, bypass = REALISTIC[proxy]
    variables = tuple((name, bypass if "no" in name.lower()[:2] else url) for name in environment.NAMES)
    agents, all_values = read(FOREIGN, variables)
    assert agents == variables
    assert all_values["LAST"] == "1"
    assert all_values["QUOTED"] == "a b"


PORTABLE = "ABCXYZabcxyz0189!%*+,-./:=?@[]^_{}"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(PORTABLE, min_size=1, max_size=60), min_size=6, max_size=6))
def test_every_reader_gets_any_portable_value(read, values):
    """The characters that `render` allows are not special, also at either end of a value."""
    variables = six(*values)
    assert read(FOREIGN, variables)[0] == variables


@pytest.mark.parametrize("char", PORTABLE)
def test_portable_character_at_any_position(read, char):
    """It may be alone, first, last, in the middle, after a colon, or repeated."""
    variables = six(char, char + "a", "a" + char, "a" + char + "b", "a:" + char, char * 3)
    assert read(None, variables)[0] == variables


def test_longest_line_of_pam_env_arrives(read):
    """The limit of the agent's warning is the real one of pam_env."""
    variables = (("A", "1"), ("no_proxy", "x" * (PAM_LINE_LIMIT - len("no_proxy="))))
    assert read(None, variables)[0] == variables


def test_too_long_list_does_not_hide_the_proxies(read):
    """pam_env stops at a line that is too long; the proxies are above it and still arrive."""
    variables = six("http://proxy.corp:3128")[:4] + (("no_proxy", "x" * (PAM_LINE_LIMIT + 10)),)
    assert read(None, variables)[0][:4] == variables[:4]


@pytest.mark.parametrize("last", [b"A=1\\", b"# a comment that ends in \\", b"A=1", b"A='1'\r\n", b"A=1\\\\\n"])
def test_line_before_the_agents_does_not_continue(read, last):
    """A backslash at the end of the last other line must not join the agent's first line."""
    variables = six("http://proxy.corp:3128")
    assert read(last, variables)[0] == variables
