"""What the daemon says of drift and of a node: short, and without secrets."""

from __future__ import annotations

import pytest

from agent.core.plan.plan import Change
from agent.core.systemd import restart_order
from agent.node.change_log import _short_diff


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (b"LANG=C\nhttp_proxy=x\n", b"LANG=C\nhttp_proxy=y\n", "-http_proxy=x\n+http_proxy=y"),
        (None, b"a\n", "+a"),
        (b"a\n", None, "-a"),
        (b"http_proxy=http://me:hunter2@p:1\n", b"", "-http_proxy=http://***@p:1"),
        (b"AWS_SECRET_ACCESS_KEY=hunter2\n", b"", "-AWS_SECRET_ACCESS_KEY=***"),
        (b'Environment="API_TOKEN=hunter2"\n', b"", '-Environment="API_TOKEN=***'),
        (b"password=hunter2\n", b"", "-password=***"),
        (b"the.client_secret-of-a: hunter2\n", b"", "-the.client_secret-of-a: ***"),
    ],
)
def test_a_repair_is_told_by_the_lines_that_went_and_came(before: bytes, after: bytes, said: str) -> None:
    """Lines that stay are nobody's business, and values of what looks like a secret are masked."""
    assert _short_diff(Change("/etc/environment", before, after)) == said


def test_a_repair_of_the_mode_alone_says_the_mode() -> None:
    """A node.env that others could read."""
    assert _short_diff(Change("/etc/x", b"a", b"a", 0o600)) == "mode becomes 0600"


def test_a_long_repair_is_cut_off() -> None:
    """Somebody's large file in the place of ours does not flood the journal."""
    assert len(_short_diff(Change("/etc/x", b"x\n" * 100000, b"a"))) <= 2000


@pytest.mark.parametrize("text", [b"a.", b"secret", b"http://"])
def test_a_line_of_a_megabyte_is_read_once(text: bytes) -> None:
    """The pass that tells of it has ten minutes to live, and the file may have been four times as
    long.
    """
    assert len(_short_diff(Change("/etc/x", text * (1_000_000 // len(text)), b"a"))) == 2000


def test_what_others_need_is_restarted_first_and_kubelet_last() -> None:
    """containerd before docker, then what hangs on neither."""
    names = ["kubelet.service", "amazon-ssm-agent.service", "docker.service", "containerd.service"]
    assert restart_order(names) == (
        "containerd.service",
        "docker.service",
        "amazon-ssm-agent.service",
        "kubelet.service",
    )
