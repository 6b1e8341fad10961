"""Settings in user data, with real cloud-init."""

from __future__ import annotations

from typing import Callable

from tests.boot.harness.bed import Trial


def variables(text: str) -> dict[str, str]:
    """Return NAME=value lines as a dictionary."""
    return dict(line.split("=", 1) for line in text.splitlines())


def test_settings_of_a_mime_part_apply_to_all_programs(trial: Callable[[str], Trial]) -> None:
    """They are in effect before nodeadm, docker and the shell part, which connects by Squid."""
    node = trial("user-data-mixed")
    node.boot()
    log = node.root / "var/log"
    expected = variables((node.root / "etc/eks-proxy-agent/node.env").read_text())
    for name in ("nodeadm-config.env", "nodeadm-run.env", "user-data.env"):
        assert variables((log / name).read_text()) == expected, name
    assert (log / "user-data.curl").read_text() == "200\n"
    assert any("/v2/" in line and '"curl/' in line for line in node.requests())


def test_user_data_of_settings_alone_is_enough(trial: Callable[[str], Trial]) -> None:
    """Compressed user data with only the agent's part configures the node.

    cloud-init reports no error.
    """
    boot = trial("user-data-alone").boot()
    assert not [text for text in boot.messages("cloud-init") if "Failed" in text or "Traceback" in text]


def test_flags_of_one_line_of_user_data_survive_a_reboot(trial: Callable[[str], Trial]) -> None:
    """`apply --proxy` in user data does not affect the running docker.

    From the next boot on, docker has the proxy.
    """
    node = trial("one-line-user-data")
    first = node.boot()
    assert "HTTP_PROXY" not in (first.environment("docker") or {})
    log = node.root / "var/log/cloud-init-output.log"
    assert log.read_text().count("systemctl restart docker") == 1
    second = node.boot(proxied=("docker", "containerd"), pull="through")
    assert second.reloads() == 0
    assert log.read_text().count("systemctl restart docker") == 1, "user data ran again"
