"""DefaultEnvironment= of systemd."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.plan.elsewhere.manager import default_environment, without_proxies

A, B = "/etc/systemd/system.conf", "/etc/systemd/system.conf.d/b.conf"


@pytest.mark.parametrize(
    ("files", "places"),
    [
        ([(A, b"")], []),
        ([(A, b"[Manager]\nDefaultEnvironment=FOO=1\n")], []),
        ([(A, b"[Manager]\n#DefaultEnvironment=http_proxy=x\n")], []),
        ([(A, b"[Other]\nDefaultEnvironment=http_proxy=x\n")], []),
        (
            [(A, b'[Manager]\nDefaultEnvironment="HTTPS_PROXY=http://old.example.test:1"\n')],
            [(A, {"HTTPS_PROXY": "http://old.example.test:1"})],
        ),
        (
            [(A, b"[Manager]\n DefaultEnvironment = 'no_proxy=a b' FOO=1 \\\n http_proxy=http://u%%40:1\n")],
            [(A, {"no_proxy": "a b", "http_proxy": "http://u%40:1"})],
        ),
        # A later assignment wins, whichever file it is in; an empty setting resets all.
        (
            [
                (A, b"[Manager]\nDefaultEnvironment=http_proxy=x no_proxy=y\n"),
                (B, b"[Manager]\nDefaultEnvironment=http_proxy=z"),
            ],
            [(B, {"http_proxy": "z"}), (A, {"no_proxy": "y"})],
        ),
        ([(A, b"[Manager]\nDefaultEnvironment=http_proxy=x\n"), (B, b"[Manager]\nDefaultEnvironment=\n")], []),
    ],
)
def test_what_is_in_force(files, places):
    """Each file has a place with what is in force of it."""
    found = {place.path: dict(place.values) for place in default_environment(files)}
    assert found == dict(places)


@pytest.mark.parametrize(
    ("content", "cleaned"),
    [
        (b'[Manager]\nDefaultEnvironment="HTTPS_PROXY=http://old.example.test:1"\n', b"[Manager]\n"),
        (b"[Manager]\nDefaultEnvironment=http_proxy=x", b"[Manager]\n"),
        (
            b"[Manager]\n# c\nDefaultEnvironment=http_proxy=x \"FOO=1 2\" \\\n NO_PROXY=a BAR='x'\nLogLevel=info\n",
            b"[Manager]\n# c\nDefaultEnvironment=\"FOO=1 2\" BAR='x'\nLogLevel=info\n",
        ),
        (b"[Manager]\nDefaultEnvironment=\nDefaultEnvironment=FOO=1\n", None),
        (b"[Manager]\n# DefaultEnvironment=http_proxy=x \\\nLogLevel=info\n", None),
        (b"[Manager]\nManagerEnvironment=http_proxy=x\n", None),
        (b"[Manager]\nLogLevel=a\\\nDefaultEnvironment=http_proxy=x\n", None),
        (b"[Other]\nDefaultEnvironment=http_proxy=x\n", None),
        (b"\xff\r\n", None),
    ],
)
def test_proxies_are_taken_out(content, cleaned):
    """Other variables stay, and so does everything else, byte for byte."""
    assert without_proxies(content) == (content if cleaned is None else cleaned)


LINES = st.sampled_from(
    [b"[Manager]", b"[Other]", b"DefaultEnvironment=FOO=1 http_proxy=x", b"DefaultEnvironment='no_proxy=a'", b"# c \\",
     b"DefaultEnvironment=", b"LogLevel=x\\", b"", b'DefaultEnvironment="HTTP_PROXY=\\"" BAR=\\']
)  # fmt: skip


@given(st.lists(LINES, max_size=6).map(b"\n".join) | st.binary(max_size=40))
def test_nothing_is_in_force_after_it(content):
    """It is idempotent, and keeps the variables of others."""
    cleaned = without_proxies(content)
    assert list(default_environment([(A, cleaned)])) == []
    assert without_proxies(cleaned) == cleaned
    assert cleaned.count(b"FOO=1") == content.count(b"FOO=1")
