"""/etc/environment before and after an edit, as systemd, a shell and pam_env read it.

No reader gets another value for a name that is not the agent's, and each gets the agent's six.
"""

import re
import subprocess

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from agent.core.plan.files import environment
from agent.core.plan.files.env_statements import is_complete
from agent.core.plan.files.environment import EnvironmentFile, assignments
from agent.errors import FileError
from tests.integration.environment_readers import pam_env, shell, systemd

SIX = tuple((name, f"http://{name.lower()}.corp:3128") for name in environment.NAMES)
LINES = environment.render(SIX)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Variables of the shell itself.
OF_THE_SHELL = {"PWD", "OLDPWD", "_", "SHLVL"}

OTHER_NAMES = st.sampled_from(["FOO", "BAR", "LANG", "JAVA_OPTS"])
PROXY_NAMES = st.sampled_from(environment.NAMES)
PLAIN = st.sampled_from(["", "1", "http://old:1", "a,b", "x#y", "it", "a\\\\", "\\x", "é"])
QUOTED = st.sampled_from(
    ["'a b'", '"a b"', '"a,\nb,\nc"', "'a\nb'", '"a\\\nb"', "'a\\'", '"a\\\\"', '"a" b', '"#x"', '"FOO=1\nBAR=2"', "''"]
)
VALUES = PLAIN | QUOTED
NAMES = OTHER_NAMES | PROXY_NAMES


@st.composite
def words(draw):
    """One or more assignments on a line, perhaps exported."""
    pairs = draw(st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=2))
    separator = draw(st.sampled_from([" ", " ", "; "]))
    return draw(st.sampled_from(["", "", "export ", " ", "export  "])) + separator.join(f"{n}={v}" for n, v in pairs)


LINE = st.one_of(
    words(),
    words(),
    st.sampled_from(
        ["", " ", "# c", "# it's", '# "', "# c \\", "FOO", "export FOO", "FOO = 1", "no_proxy = x", "no_proxy=a, b"]
        + ["FOO=1 # c", "FOO=1\\", "http_proxy=1\\", "FOO=it's", "FOO=\\\\", "no_proxy=\\\\", ":", "export http_proxy"]
        + ["http_proxy=x; export http_proxy", "if :; then", "fi", "JAVA_OPTS=\"-Dx=1", "no_proxy='a", "BAR=$FOO"]
    ),
)  # fmt: skip
ENDINGS = st.sampled_from(["\n", "\n", "\n", "\r\n"])
#: Files made of lines that people write.
FILES = st.lists(st.tuples(LINE, ENDINGS), max_size=6).map(lambda lines: "".join(map("".join, lines)).encode())
#: Files made of the characters that a reader may treat in its own way; none runs a program.
RAW = st.lists(
    st.sampled_from(["FOO=", "no_proxy=", "=", "\n", "\n", "\r", " ", "'", '"', "\\", "#", ";", "x", "export "]),
    max_size=16,
).map(lambda parts: "".join(parts).encode())


@pytest.fixture
def read(tmp_path):
    """Read a text with all three readers: a dict for each, None for a text that it rejects."""
    sh = shell("/bin/sh")
    readers = {"systemd": systemd, "pam_env": pam_env, "sh": sh}
    try:
        (tmp_path / "environment").write_bytes(b"A=1\n")
        systemd(tmp_path / "environment", tmp_path)
        pam_env(tmp_path / "environment", tmp_path)
    except (OSError, ValueError, AttributeError) as error:
        pytest.skip(f"libsystemd-shared or libpam is not installed (tests/packages.txt): {error}")

    def read_all(text):
        path = tmp_path / "environment"
        path.write_bytes(text)
        values = {}
        for name, reader in readers.items():
            try:
                pairs = reader(path, tmp_path)
            except (OSError, subprocess.CalledProcessError):
                values[name] = None
            else:
                values[name] = {key: value for key, value in pairs.items() if NAME.fullmatch(key)}
        return values

    return read_all


def others(values):
    """The values of the names that are not the agent's."""
    return {name: value for name, value in values.items() if name not in environment.NAMES and name not in OF_THE_SHELL}


def ended(text):
    """A text whose last statement is ended, so that the readers read the same before an edit."""
    return text if is_complete(text) else text.rstrip(b"\n") + b"\n\n:\n"


many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(FILES | RAW)
def test_no_reader_gets_another_value_of_others(read, current):
    """Every name but the six has the value that it had, and the six are as written."""
    try:
        edited = EnvironmentFile(SIX).merge(current)
    except FileError:
        assume(False)
    assert edited.endswith(LINES)
    before, after = read(ended(current)), read(edited)
    for reader, values in before.items():
        if values is None:
            continue
        assert others(after[reader]) == others(values), reader
        assert {name: after[reader].get(name) for name in environment.NAMES} == dict(SIX), reader
    assert EnvironmentFile.restore(edited, current) is not None


@many
@given(FILES | RAW)
def test_only_files_that_would_hide_the_six_are_refused(read, current):
    """A refused file is one in which systemd would not read lines that are appended to it."""
    assume(b"\\" not in current)  # systemd 254 and later reads a comment that ends in one differently
    try:
        EnvironmentFile(SIX).merge(current)
    except FileError:
        values = read(current.rstrip(b"\n") + b"\n" + LINES)["systemd"]
        assert {name: (values or {}).get(name) for name in environment.NAMES} != dict(SIX)


@many
@given(FILES | RAW)
def test_no_reader_gets_a_proxy_after_clean(read, current):
    """`clean` takes all of the six out, or refuses.

    The shell keeps every other value, and the other readers lose no name.
    """
    try:
        cleaned = EnvironmentFile(None).merge(current)
    except FileError:
        assume(False)
    before, after = read(ended(current)), read(ended(cleaned))
    for reader, values in before.items():
        if values is None:
            continue
        assert not set(after[reader]) & set(environment.NAMES), reader
        assert set(others(values)) <= set(others(after[reader])), reader
    if before["sh"] is not None:
        assert others(after["sh"]) == others(before["sh"])
        assert EnvironmentFile(None).merge(cleaned) == cleaned


@many
@given(FILES | RAW | st.binary(max_size=12))
def test_our_reader_is_that_of_systemd(tmp_path, current):
    """PID 1 drops invalid names afterwards, as `assignments` does."""
    path = tmp_path / "environment"
    path.write_bytes(current)
    try:
        values = systemd(path, tmp_path)
    except OSError:
        values = {}
    assert assignments(current) == {name: value for name, value in values.items() if NAME.fullmatch(name)}
