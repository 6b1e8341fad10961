"""/etc/environment is read by systemd, pam_env, sh, bash and `systemd --user`: each for real, none
needs PID 1.
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

# What a realistic file holds besides ours; every reader has to get over it.
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
    """A NULL-terminated array of C strings as a dict of NAME=VALUE."""
    found = {}
    for item in array:
        if item is None:
            break
        name, _, value = item.decode().partition("=")
        found[name] = value
    return found


def systemd(path, directory):
    """EnvironmentFile=: the function that PID 1 itself calls, from systemd's own library."""
    (library,) = glob.glob("/usr/lib/*/systemd/libsystemd-shared-*.so") + glob.glob(
        "/usr/lib*/systemd/libsystemd-shared-*.so"
    )
    load = ctypes.CDLL(library).load_env_file
    load.argtypes = [c_void_p, c_char_p, POINTER(Strings)]
    found = Strings()
    assert load(None, str(path).encode(), byref(found)) == 0
    return strings(found)


def pam_env(path, directory):
    """A PAM session with pam_env.so alone, as sshd and login open one."""
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
    """A shell that sources the file and exports what it set."""

    def read(path, directory):
        run = [name, "-c", 'set -a; . "$0"; exec /usr/bin/env -0', str(path)]
        output = subprocess.run(run, env={}, stdout=subprocess.PIPE, check=True).stdout
        return strings([item for item in output.split(b"\0") if item])

    return read


def systemd_user(path, directory):
    """`systemd --user` reads environment.d, where Debian and others link /etc/environment; `$` is
    special there.
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
    """One of the five readers; where it is not installed, the test says so (and fails under
    CI=true).
    """
    probe = tmp_path / "probe"
    probe.write_bytes(b"PROBE=1\n")
    try:
        assert READERS[request.param](probe, tmp_path)["PROBE"] == "1"
    except (OSError, ValueError, AttributeError) as error:
        pytest.skip(f"no {NEEDED.get(request.param, request.param)} here (tests/packages.txt): {error}")

    def read_edited(current, variables):
        path = tmp_path / "environment"
        path.write_bytes(environment.EnvironmentFile(variables).merge(current))
        found = READERS[request.param](path, tmp_path)
        return tuple((name, found.get(name)) for name, _ in variables), found

    return read_edited


def six(*values):
    """The six variables with these values, repeated as needed."""
    return tuple((name, values[number % len(values)]) for number, name in enumerate(environment.NAMES))


@pytest.mark.parametrize("proxy", REALISTIC)
def test_every_reader_gets_our_values(read, proxy):
    """Quoting, percent signs, brackets and long lists arrive as we meant them, and the foreign
    lines still do.
    """
    url, bypass = REALISTIC[proxy]
    variables = tuple((name, bypass if "no" in name.lower()[:2] else url) for name in environment.NAMES)
    seen, everything = read(FOREIGN, variables)
    assert seen == variables
    assert everything["LAST"] == "1"
    assert everything["QUOTED"] == "a b"


PORTABLE = "ABCXYZabcxyz0189!%*+,-./:=?@[]^_{}"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(PORTABLE, min_size=1, max_size=60), min_size=6, max_size=6))
def test_every_reader_gets_any_portable_value(read, values):
    """The alphabet that `render` lets through means the same to all five, at the start and the end
    of a value too.
    """
    variables = six(*values)
    assert read(FOREIGN, variables)[0] == variables


@pytest.mark.parametrize("char", PORTABLE)
def test_every_portable_character_stands_anywhere(read, char):
    """Alone, first, last, in the middle, after a colon and before an equals sign."""
    variables = six(char, char + "a", "a" + char, "a" + char + "b", "a:" + char, char * 3)
    assert read(None, variables)[0] == variables


def test_a_line_as_long_as_pam_takes_arrives(read):
    """The limit above which the agent warns is what pam_env really takes."""
    variables = (("A", "1"), ("no_proxy", "x" * (PAM_LINE_LIMIT - len("no_proxy="))))
    assert read(None, variables)[0] == variables


def test_an_overlong_list_costs_nothing_but_itself(read):
    """pam_env stops at a line that is too long for it: the proxies stand above it and still
    arrive.
    """
    variables = six("http://proxy.corp:3128")[:4] + (("no_proxy", "x" * (PAM_LINE_LIMIT + 10)),)
    assert read(None, variables)[0][:4] == variables[:4]


@pytest.mark.parametrize("last", [b"A=1\\", b"# a comment that ends in \\", b"A=1", b"A='1'\r\n", b"A=1\\\\\n"])
def test_the_line_before_ours_swallows_nothing(read, last):
    """A backslash at the end of somebody's last line takes what we put between, not our first
    line.
    """
    variables = six("http://proxy.corp:3128")
    assert read(last, variables)[0] == variables
