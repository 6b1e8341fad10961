"""/etc/environment with its real readers: systemd, pam_env, sh, bash and `systemd --user`.

None of them needs PID 1.
"""

import ctypes
import glob
import shlex
import subprocess
from ctypes import POINTER, byref, c_char_p, c_int, c_void_p

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.noproxy.entries import PAM_LINE_LIMIT
from agent.core.plan.files import environment

GENERATOR = "/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator"
Strings = POINTER(c_char_p)

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


def strings(array):
    """Return a NULL-terminated array of C strings NAME=VALUE as a dict."""
    values = {}
    for item in array:
        if item is None:
            break
        name, _, value = item.decode().partition("=")
        values[name] = value
    return values


def systemd(path, directory):
    """Read like EnvironmentFile=: call the function of PID 1 in systemd's library."""
    (library,) = glob.glob("/usr/lib/*/systemd/libsystemd-shared-*.so") + glob.glob(
        "/usr/lib*/systemd/libsystemd-shared-*.so"
    )
    load = ctypes.CDLL(library).load_env_file
    load.argtypes = [c_void_p, c_char_p, POINTER(Strings)]
    array = Strings()
    assert load(None, str(path).encode(), byref(array)) == 0
    return strings(array)


def pam_env(path, directory):
    """Read with pam_env.so in a PAM session, as sshd and login open one."""
    (directory / "pam_env.conf").write_text("")
    (directory / "agent-test").write_text(
        f"session required pam_env.so readenv=1 envfile={path} conffile={directory}/pam_env.conf user_readenv=0\n"
    )
    pam = ctypes.CDLL("libpam.so.0")
    pam.pam_start_confdir.argtypes = [c_char_p, c_char_p, c_void_p, c_char_p, POINTER(c_void_p)]
    pam.pam_open_session.argtypes = pam.pam_end.argtypes = [c_void_p, c_int]
    pam.pam_getenvlist.argtypes, pam.pam_getenvlist.restype = [c_void_p], Strings
    handle, conversation = c_void_p(), (c_void_p * 2)()
    assert pam.pam_start_confdir(b"agent-test", b"root", conversation, str(directory).encode(), byref(handle)) == 0
    try:
        assert pam.pam_open_session(handle, 0) == 0
        return strings(pam.pam_getenvlist(handle))
    finally:
        pam.pam_end(handle, 0)


def shell(name):
    """Return a reader: a shell that sources the file and exports its variables."""

    def read(path, directory):
        run = [name, "-c", 'set -a; . "$0"; exec /usr/bin/env -0', str(path)]
        output = subprocess.run(run, env={}, stdout=subprocess.PIPE, check=True).stdout
        return strings([item for item in output.split(b"\0") if item])

    return read


def systemd_user(path, directory):
    """Read like `systemd --user`: Debian and others link /etc/environment to environment.d.

    `$` is special there.
    """
    (directory / "environment.d").mkdir(exist_ok=True)
    (directory / "environment.d" / "99-environment.conf").write_bytes(path.read_bytes())
    run = {"XDG_CONFIG_HOME": str(directory), "HOME": str(directory)}
    output = subprocess.run([GENERATOR], env=run, stdout=subprocess.PIPE, check=True).stdout.decode()
    return strings([shlex.split(line)[0].encode() for line in output.splitlines() if line])


READERS = {
    "systemd": systemd,
    "pam_env": pam_env,
    "sh": shell("/bin/sh"),
    "bash": shell("/bin/bash"),
    "systemd --user": systemd_user,
}
NEEDED = {"systemd": "libsystemd-shared", "pam_env": "libpam with pam_start_confdir", "systemd --user": GENERATOR}


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
