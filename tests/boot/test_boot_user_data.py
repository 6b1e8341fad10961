"""Settings in user data, with real cloud-init."""

from __future__ import annotations

import time
from typing import Callable

from agent.core.settings.unit_table import HTTP_NAMES
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
        unset = HTTP_NAMES if name.startswith("nodeadm") else ()
        desired = {key: value for key, value in expected.items() if key not in unset}
        assert variables((log / name).read_text()) == desired, name
    assert (log / "user-data.curl").read_text() == "200\n"
    assert any("/v2/" in line and '"curl/' in line for line in node.requests())


def test_user_data_of_settings_alone_is_enough(trial: Callable[[str], Trial]) -> None:
    """User data with only the agent's part configures the node, in any encoding of launchers.

    cloud-init reports no error about the compressed form.
    """
    node = trial("user-data-alone")
    boot = node.boot()
    assert not [text for text in boot.messages("cloud-init") if "Failed" in text or "Traceback" in text]
    for encoding in (("base64",), ("gzip", "base64")):
        node.boot(user_data_encoding=encoding)


def test_values_that_appear_late_are_waited_for(trial: Callable[[str], Trial]) -> None:
    """A 404 for the MAC address, then for all CIDRs, is answered after four seconds.

    nodeadm and docker start afterwards, with the whole list.
    """
    node = trial("metadata-404")
    for late in ({"mac": "06:1d:5a:3b:7c:9e"}, {"vpc_cidrs_v4": ["10.0.0.0/16", "100.64.0.0/16"]}):
        running = node.start(hold=True)
        time.sleep(4)
        appeared = time.monotonic_ns() // 1000
        node.change_instance(**late)
        running.wait_settled()
        boot = node.finish(running)
        assert min(boot.active_at("docker"), boot.active_at("nodeadm-config")) > appeared
        expected = variables((node.root / "etc/eks-proxy-agent/node.env").read_text())
        desired = {key: value for key, value in expected.items() if key not in HTTP_NAMES}
        for name in ("nodeadm-config.env", "nodeadm-run.env"):
            assert variables((node.root / "var/log" / name).read_text()) == desired, name


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


def test_boothook_downloads_through_squid_on_the_first_boot(trial: Callable[[str], Trial]) -> None:
    """cloud-init has a drop-in and waits for the agent, and so do soci-snapshotter and others."""
    node = trial("boothook")
    boot = node.boot()
    log = node.root / "var/log"
    expected = variables((node.root / "etc/eks-proxy-agent/node.env").read_text())
    assert variables((log / "boothook.env").read_text()) == expected
    assert (log / "boothook.codes").read_text() == "200\n"
    assert any('"boothook"' in line and " 200 " in line for line in node.requests())
    assert boot.active_at("eks-proxy-agent") < boot.active_at("soci-snapshotter") < boot.active_at("containerd")
