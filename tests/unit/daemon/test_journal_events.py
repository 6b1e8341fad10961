"""Log texts of repairs and the order of restarts."""

from __future__ import annotations

import pytest

from agent.core.plan.plan import Change
from agent.core.systemd import restart_order
from agent.daemon.daemon import set_status
from agent.daemon.protocol import Message, Status
from agent.node.change_log import _short_diff

#: Secrets that no list of names contains.
OTHERS = ("MYSQL_PWD", "GITHUB_PAT", "AWS_SECRET_ACCESS_KEY", "PGPASSFILE", "x")


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (b"LANG=C\nhttp_proxy=x\n", b"LANG=C\nhttp_proxy=y\n", "-http_proxy=x\n+http_proxy=y"),
        (None, b"a\n", "1 other line"),
        (b"a\nb\n", None, "2 other lines"),
        (b"http_proxy=http://me:hunter2@p:1\n", b"", "-http_proxy=http://***@p:1"),
        (b"a\n", b"export NO_PROXY = x\n", "+export NO_PROXY = x\n1 other line"),
        (b"[main]\nproxy = http://me:hunter2@p:1\n", b"[main]\n", "-proxy = http://***@p:1"),
        (b"no_proxy=a, me:hunter2@p\n", b"", "-no_proxy=***@p"),
        (b"ftp_proxy=hunter2\nproxy_password=hunter2\n_proxy=hunter2\n", b"", "3 other lines"),
        *((f"{name}=hunter2\n".encode(), b"", "1 other line") for name in OTHERS),
    ],
)
def test_repair_is_logged_as_the_lines_with_a_proxy(before: bytes | None, after: bytes | None, text: str) -> None:
    """Other lines are counted: a secret may have any name."""
    assert _short_diff(Change("/etc/environment", before, after)) == text


def test_repair_of_the_mode_is_logged_as_the_mode() -> None:
    """An example is a node.env that others could read."""
    assert _short_diff(Change("/etc/x", b"a", b"a", 0o600)) == "mode becomes 0600"


def test_long_repair_is_truncated() -> None:
    """A large file in the place of the agent's does not flood the journal."""
    assert len(_short_diff(Change("/etc/x", b"proxy=x\n" * 100000, b"a"))) <= 2020


@pytest.mark.parametrize("text", [b"a.", b"secret", b"http://", b"proxy="])
def test_line_of_a_megabyte_is_scanned_once(text: bytes) -> None:
    """The worker that logs it has ten minutes, and the file may be four times as long."""
    line = b"proxy=" + text * (1_000_000 // len(text))
    assert len(_short_diff(Change("/etc/x", line, b""))) == 2000


@pytest.mark.parametrize("text", ["degraded: " + "x" * 100_000, "ü" * 2000, "\udcff" * 2000, "a\nb" * 1000, "short"])
def test_status_line_is_bounded(text: str) -> None:
    """STATUS= is one line of at most 1 KiB, whatever an error or the name of a file repeats."""
    messages: list[Message] = []
    set_status(messages.append, text)
    (message,) = messages
    assert isinstance(message, Status)
    assert len(("STATUS=" + message.text).encode()) <= 1024
    assert "\n" not in message.text
    assert message.text.startswith(text[:1].encode(errors="backslashreplace").decode())


def test_dependencies_are_restarted_first_and_kubelet_last() -> None:
    """containerd is restarted before docker, then units that depend on neither."""
    names = ["kubelet.service", "amazon-ssm-agent.service", "docker.service", "containerd.service"]
    assert restart_order(names) == (
        "containerd.service",
        "docker.service",
        "amazon-ssm-agent.service",
        "kubelet.service",
    )
