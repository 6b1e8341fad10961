"""Settings that come in user data, with real cloud-init."""

from __future__ import annotations

from typing import Callable

from tests.boot.harness.bed import Trial


def variables(text: str) -> dict[str, str]:
    """NAME=value lines as a dictionary."""
    return dict(line.split("=", 1) for line in text.splitlines())


def test_settings_in_a_mime_part_reach_docker_nodeadm_and_the_shell_part(trial: Callable[[str], Trial]) -> None:
    """Settings from a MIME part are in force before nodeadm, docker and the shell part, which gets
    through Squid.
    """
    node = trial("user-data-mixed")
    node.boot()
    log = node.root / "var/log"
    wanted = variables((node.root / "etc/eks-proxy-agent/node.env").read_text())
    for name in ("nodeadm-config.env", "nodeadm-run.env", "user-data.env"):
        assert variables((log / name).read_text()) == wanted, name
    assert (log / "user-data.curl").read_text() == "200\n"
    assert any("/v2/" in line and '"curl/' in line for line in node.requests())


def test_user_data_that_is_nothing_but_settings_is_enough(trial: Callable[[str], Trial]) -> None:
    """Compressed user data with the agent's part alone configures the node, and cloud-init does not
    mind.
    """
    boot = trial("user-data-alone").boot()
    assert not [text for text in boot.messages("cloud-init") if "Failed" in text or "Traceback" in text]


def test_one_line_of_user_data_survives_the_reboot(trial: Callable[[str], Trial]) -> None:
    """`apply --proxy` from user data leaves the running docker alone, and from the next boot docker
    has the proxy.
    """
    node = trial("one-line-user-data")
    first = node.boot()
    assert "HTTP_PROXY" not in (first.environment("docker") or {})
    said = node.root / "var/log/cloud-init-output.log"
    assert said.read_text().count("systemctl restart docker") == 1
    second = node.boot(proxied=("docker", "containerd"), pull="through")
    assert second.reloads() == 0
    assert said.read_text().count("systemctl restart docker") == 1, "user data ran again"
