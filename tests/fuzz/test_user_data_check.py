"""`user-data check`: any bytes give a report, within the limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.settings.user_data import LIMIT
from tests.fuzz import readers, test_user_data
from tests.fuzz.bounds import Bomb, assert_bounded
from tests.fuzz.test_user_data import HEADERS, TEXT

SCRIPT = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n"


@given(TEXT | st.binary(max_size=400))
def test_any_user_data_has_a_report(data: bytes) -> None:
    """Any lines and bytes, alone, in a message and in a script, have a report fit for people."""
    for text in (data, SCRIPT + data, SCRIPT + data + b"\n--b--\n"):
        readers.user_data_check(text)


@given(st.lists(st.tuples(st.lists(st.sampled_from(HEADERS), max_size=3), TEXT), max_size=6))
def test_any_multipart_has_a_report(parts: list[tuple[list[bytes], bytes]]) -> None:
    """The same for a well-formed multipart with any headers and texts in it."""
    bodies = [b"\n".join([*headers, b"", text]) for headers, text in parts]
    envelope = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B0\n\n"
    readers.user_data_check(envelope + b"".join(b"--B0\n" + body + b"\n" for body in bodies) + b"--B0--\n")


def script(unit: bytes, start: bytes = b"") -> Bomb:
    """Return a bomb of a script that repeats `unit`."""
    head = SCRIPT + start
    return Bomb(readers.user_data_check, lambda: (head + unit * (LIMIT // len(unit)))[: LIMIT - 7] + b"\n--b--\n")


BOMBS = {
    **{name: Bomb(readers.user_data_check, bomb.make) for name, bomb in test_user_data.BOMBS.items()},
    "tee": script(b"tee -a "),
    "redirections": script(b">> "),
    "appended lines": script(b"echo a >> /etc/environment\n"),
    "lists": script(b"no_proxy=a\n"),
    "lists in a line": script(b"no_proxy=a,"),
    "long list": script(b"10.0.0.0/8,", b"no_proxy="),
    "regions": script(b"a.us-east-1.a-b-", b"latest/meta-data no_proxy="),
    "signals": script(b"cfn-signal "),
    "lines of signals": script(b"cfn-signal\n"),
    "drop-ins": script(b"> /etc/systemd/system/a.d/b "),
    "directories": script(b"mkdir a\\\n"),
    "passwords": script(b"a:", b"://"),
    "schemes": script(b"://a"),
}


def test_bombs() -> None:
    """Each costs at most five times what the contract allows."""
    assert_bounded("test_user_data_check")
