"""Drop-ins beside those of others: their order, their former name, leftovers of the recipes."""

from __future__ import annotations

import json
import re
import tarfile
from dataclasses import replace
from typing import Callable

from tests.boot.harness import cri, secrets
from tests.boot.harness.bed import Trial
from tests.boot.harness.daemon import AGENT, RunningAgent
from tests.boot.harness.node import Running
from tests.boot.harness.services import IMAGE, squid_with_password
from tests.boot.harness.waiting import wait_for

LOGIN = "192.0.2.11"  # login.example.test in the node's /etc/hosts
DOCKER_D = "/etc/systemd/system/docker.service.d"
#: What an earlier version left on a running node: its drop-ins, and its state with their names.
DOWNGRADE = """
systemctl stop eks-proxy-agent
for path in /etc/systemd/system/*.d/zz-eks-proxy.conf; do mv $path ${path%/*}/90-eks-proxy.conf; done
sed -i s,/zz-eks-proxy.conf,/90-eks-proxy.conf,g /var/lib/eks-proxy-agent/baseline.json /run/eks-proxy-agent/*.json
systemctl daemon-reload
"""


def reloads(agent: RunningAgent) -> int:
    """Return how often systemd has reloaded its units."""
    return agent.running.run("journalctl", "--quiet", "--output=cat", "_PID=1").count("Reloading.\n")


def test_an_upgrade_renames_the_drop_ins_without_a_restart(trial: Callable[[str], Trial]) -> None:
    """One reload of systemd; watch.restart = "changed" restarts nothing, and no unit is stale."""
    agent = RunningAgent(trial("watch-restart"))
    agent.running.run("sh", "-e", "-c", DOWNGRADE)
    pids, before = agent.pids(), reloads(agent)
    assert agent.running.show("docker", "DropInPaths") == f"{DOCKER_D}/90-eks-proxy.conf"
    agent.running.run("systemctl", "start", AGENT)
    assert reloads(agent) == before + 1
    assert agent.running.show("docker", "DropInPaths") == f"{DOCKER_D}/zz-eks-proxy.conf"
    assert agent.running.run("find", "/etc/systemd/system", "-name", "90-eks-proxy.conf") == ""
    *_, created = agent.events("file.created", f"FILE={DOCKER_D}/zz-eks-proxy.conf")
    (removed,) = agent.events("file.removed", f"FILE={DOCKER_D}/90-eks-proxy.conf")
    assert int(created["__MONOTONIC_TIMESTAMP"]) < int(removed["__MONOTONIC_TIMESTAMP"])
    last = agent.status()["updated"]
    wait_for("another cycle", lambda: agent.status()["updated"] != last)
    assert (agent.pids(), agent.status()["stale_units"]) == (pids, [])
    assert agent.events("unit.restarted") + agent.events("drift.repaired") == []
    assert reloads(agent) == before + 1
    agent.running.run("eks-proxy-agent", "check", "--only", "files", "--only", "units", "--only", "processes")
    agent.node.finish(agent.running)


#: Secrets of other programs in files, a process and the journal of the agent's unit.
PLANT = """
printf 'DB_PWD=%s\n# %s\n' zq7environment zq7comment >> /etc/environment
mkdir -p /etc/systemd/system/kubelet.service.d
printf '[Service]\nEnvironment=GITHUB_PAT=%s\n' zq7dropin > /etc/systemd/system/kubelet.service.d/own.conf
systemctl daemon-reload
systemctl restart kubelet
pid=$(systemctl show --value --property=MainPID eks-proxy-agent)
printf 'MESSAGE=+ export NPM_AUTH=%s\nOBJECT_PID=%s\n' zq7journal "$pid" | logger --journald
"""
USER_DATA = """\
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: text/x-shellscript

#!/bin/sh
echo zq7userdata
--b--
"""


def report_of(node: Trial, running: Running) -> dict[str, str]:
    """Run `report` on a node with secrets of others; return its files, and search all of them.

    The proxy's password is searched in it at the end of the boot, as in all evidence.
    """
    path = max(node.node.directory.glob("metadata-*/instance.json"), key=lambda path: path.stat().st_mtime_ns)
    path.write_text(json.dumps({**json.loads(path.read_text()), "user_data": USER_DATA}))
    running.run("sh", "-euc", PLANT)
    assert running.run("eks-proxy-agent", "report", "--output", "/probe/report.tar.gz") == "/probe/report.tar.gz\n"
    archive = running.directory / "report.tar.gz"
    others = [f"zq7{place}" for place in ("environment", "comment", "dropin", "journal", "userdata")]
    assert list(secrets.in_archive(others, archive)) == []
    with tarfile.open(archive) as members:
        files = {member.name.partition("/")[2]: members.extractfile(member) for member in members if member.isreg()}
        return {name: file.read().decode() for name, file in files.items() if file}


def test_leftovers_of_both_recipes_do_not_take_the_password_away(trial: Callable[[str], Trial]) -> None:
    """containerd pulls and sandbox-image logs in through a Squid that requires a password.

    `report` has all of the node, and no secret of the proxy or of others.
    """
    node = trial("recipe-leftovers")
    squid = squid_with_password(node.bed.namespace, node.node.directory / "squid", LOGIN, "node", "s3cretW0rd")
    try:
        running = node.start(hold=True)
        running.wait_settled()
        assert cri.pull(running, IMAGE) == ""
        assert any(" 200 " in line and '"sandbox-image"' in line for line in squid.requests())
        running.wait_until("the metrics, after READY=1", "test", "-e", "/run/eks-proxy-agent/metrics.prom")
        files = report_of(node, running)
        texts = node.finish(running).messages(AGENT)
        for name in ("docker.service.d: proxy.conf", "sandbox-image.service.d: http-proxy.conf"):
            assert any(f"{name} of the shell recipe is removed" in text for text in texts)
        missing = files["README.txt"].partition("Not collected:")[2]
        assert re.findall(r"(?m)^  (\S+)", missing) == ["journal-previous.txt"]
        assert "proxy.conf of the shell recipe is removed" in files["journal.txt"]
        assert "export NPM_AUTH=***" in files["journal.txt"]
        assert "GITHUB_PAT=***\nHTTPS_PROXY=http://***@login.example.test:3128" in files["processes.txt"]
        assert "Environment=(1 other variable, not shown)" in files["unit-files.txt"]
        assert "Id=containerd.service\n" in files["units.txt"]
        assert [part["type"] for part in json.loads(files["user-data.json"])["parts"]] == ["text/x-shellscript"]
        assert json.loads(files["check.json"])["instance_id"] == "i-0a1b2c3d4e5f60718"
    finally:
        squid.stop()


def test_a_drop_in_that_overrides_is_logged_once(trial: Callable[[str], Trial]) -> None:
    """A drop-in that sorts after the agent's wins; the journal, status and `check` name it.

    The agent's drop-in wins over `override.conf`, which is logged at the boot that creates it.
    """
    node = trial("watch")
    other = node.root / DOCKER_D[1:]
    other.mkdir(parents=True)
    (other / "zzz-other.conf").write_text("[Service]\nEnvironmentFile=/etc/other.env\n")
    (other / "override.conf").write_text("[Service]\nEnvironmentFile=/etc/other.env\n")
    (node.root / "etc/other.env").write_text("HTTPS_PROXY=http://other.example.test:3128\n")
    agent = RunningAgent(node)
    text = f"EnvironmentFile=/etc/other.env of {DOCKER_D}/zzz-other.conf overrides HTTPS_PROXY"
    (entry,) = agent.wait_for_event("unit.warning")
    assert text in str(entry["MESSAGE"])
    assert any(text in warning for warning in agent.status()["warnings"])
    notes = [str(note["MESSAGE"]) for note in agent.events("file.note")]
    assert [note for note in notes if f"{DOCKER_D}/override.conf: its EnvironmentFile=/etc/other.env" in note]
    findings = json.loads(agent.running.run("eks-proxy-agent", "check", "--json", check=False))["findings"]
    failures = [finding["text"] for finding in findings if finding["state"] == "fail" and finding["group"] == "units"]
    assert failures == [f"{text[: text.index(' overrides')]} overrides HTTPS_PROXY"]
    last = agent.status()["updated"]
    wait_for("another cycle", lambda: agent.status()["updated"] != last)
    assert len(agent.events("unit.warning")) == 1
    agent.running.run("rm", f"{DOCKER_D}/zzz-other.conf")
    wait_for("the warning to go", lambda: agent.status()["warnings"] == [], limit=45)
    agent.node.finish(agent.running)


def test_a_unit_of_the_operator_waits_if_that_is_safe(trial: Callable[[str], Trial]) -> None:
    """From the second boot on it starts after the agent, with the proxy; there is no cycle.

    A unit that precedes the network does not wait, which the journal, status and `check` say.
    """
    node = trial("operator-units")
    first = node.boot()
    notes = [text for text in first.messages(AGENT) if "waits for the agent" in text]
    assert len(notes) == 1
    assert "app.service waits for the agent from the next boot on" in notes[0]
    second = node.start(hold=True)
    second.wait_settled()
    findings = json.loads(second.run("eks-proxy-agent", "check", "--json", "--only", "units"))["findings"]
    node.case = replace(node.case, proxied=("docker", "containerd", "app"))
    boot = node.finish(second)
    assert boot.reloads() == 0
    assert boot.active_at("early") < boot.active_at("eks-proxy-agent") < boot.active_at("app")
    (warning,) = boot.status()["warnings"]
    assert warning.startswith("node.units: early.service does not wait for the agent at boot, because it starts before")
    assert any(warning in text for text in boot.messages(AGENT))
    states = {finding["name"]: finding["state"] for finding in findings}
    assert (states["app.service"], states["early.service"]) == ("ok", "warn")
