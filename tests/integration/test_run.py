"""`run`, the daemon, as a real process that tells its notification socket what a systemd would
hear.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.daemon import supervisor as watching
from agent.daemon.boot import Daemon, boot
from agent.daemon.protocol import Message, Ready
from agent.demo.instance import Instance
from agent.demo.metadata_service import MetadataService
from agent.edges.notify import notifier
from agent.edges.signals import watched
from agent.node.host import host_of
from agent.node.sources import SettingsSources
from tests.integration import certificates, moods
from tests.integration.command_line import PROXY, Node
from tests.integration.daemon import PATIENCE, Start, configure, starter, status
from tests.integration.moods import Mood, MoodyService, free_port


@pytest.fixture
def start(node: Node) -> Iterator[Start]:
    """Starts daemons on the node; they are gone after the test."""
    try:
        import systemd.daemon  # noqa: F401
    except ImportError:
        pytest.fail("systemd-python is not installed for this Python: `run` cannot be tested (packaging/setup.sh test)")
    with starter(node) as start:
        yield start


@pytest.fixture
def service() -> Iterator[MoodyService]:
    """The metadata service of these nodes."""
    with MoodyService() as service:
        yield service


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node; `configure` gives it settings."""
    return Node(tmp_path)


# --- boot
# -----------------------------------------------------------------------------------------------------------


def test_ready_means_that_the_files_are_there(node: Node, service: MetadataService) -> None:
    """At the moment when READY=1 is said, every file is in place, and it is said once."""
    configure(node, service.endpoint)
    machine = host_of(argparse.Namespace(root=str(node.root)))
    said: list[Message] = []

    def send(message: Message) -> None:
        said.append(message)
        if message == Ready():
            assert node.variables()["http_proxy"] == PROXY
            assert node.variables("etc/eks-proxy-agent/node.env")["http_proxy"] == PROXY
            assert (node.root / "etc/systemd/system/docker.service.d/90-eks-proxy.conf").exists()
            assert status(node)["phase"] == "configured"
            assert (node.root / "run/eks-proxy-agent/ready").exists()

    with watched() as signals:
        assert boot(Daemon(machine, SettingsSources(), send, signals)) is not None
    assert said.count(Ready()) == 1
    assert said[-1] == Ready()


def test_a_boot_and_an_end(node: Node, service: MetadataService, start: Start) -> None:
    """It says what it is at, READY=1, stays, and ends with 0 on SIGTERM, its files left in
    place.
    """
    configure(node, service.endpoint)
    daemon = start()
    daemon.hear("READY=1")
    assert daemon.said[:2] == ["STATUS=writing drop-ins", "STATUS=querying the metadata service at " + service.endpoint]
    assert daemon.said[2].startswith(f"STATUS=configured: {PROXY}, ")
    assert "10.42.0.0/16" in node.no_proxy()
    assert daemon.process.poll() is None
    assert daemon.stop() == 0
    assert daemon.said[-1] == "STOPPING=1"
    assert node.variables()["http_proxy"] == PROXY
    assert "Traceback" not in daemon.log.read_text()
    assert "info: node.configured instance_id=" in daemon.log.read_text()


def test_it_works_without_systemd(node: Node, service: MetadataService, start: Start) -> None:
    """Started by hand, without a socket, it does the same; SIGINT ends it too."""
    configure(node, service.endpoint)
    daemon = start({"NOTIFY_SOCKET": ""})
    ends = time.monotonic() + PATIENCE
    while "node.configured" not in daemon.log.read_text() and time.monotonic() < ends:
        time.sleep(0.02)
    daemon.tell(signal.SIGINT)
    assert daemon.end() == 0
    assert daemon.said == []
    assert node.variables()["http_proxy"] == PROXY


def test_the_second_boot_writes_nothing(node: Node, service: MetadataService, start: Start) -> None:
    """When all is as it should be, a start touches no file and logs no change."""
    configure(node, service.endpoint)
    first = start()
    first.hear("READY=1")
    first.stop()
    stamps = node.stamps()
    second = start()
    second.hear("READY=1")
    second.stop()
    assert node.stamps() == stamps
    assert "file." not in second.log.read_text()


def test_drop_ins_do_not_wait_for_metadata(node: Node, service: MoodyService, start: Start) -> None:
    """While the metadata service is silent, the drop-ins are written already, and READY=1 is not
    said.
    """
    service.moods.append(Mood(moods.hang, times=1000))
    configure(node, service.endpoint)
    daemon = start()
    daemon.hear("STATUS=querying the metadata service")
    assert (node.root / "etc/systemd/system/docker.service.d/90-eks-proxy.conf").exists()
    assert "http_proxy" not in node.variables()
    assert "READY=1" not in daemon.said


def test_sigterm_ends_the_wait_for_metadata(node: Node, service: MoodyService, start: Start) -> None:
    """Waiting for metadata it ends at once with 0: nobody has to wait for a node that is shut
    down.
    """
    service.moods.append(Mood(moods.status(503), times=10**6))
    configure(node, service.endpoint, deadline=3600)
    daemon = start()
    daemon.hear("STATUS=querying the metadata service")
    assert daemon.stop() == 0
    assert daemon.said[-1] == "STOPPING=1"
    assert "READY=1" not in daemon.said


def test_wrong_settings_end_it_with_78(node: Node, start: Start) -> None:
    """Settings do not mend themselves: it ends with 78, all problems named, and never says
    READY=1.
    """
    node.settings("[proxy]\nurl = 1\n[node]\nyum = 2\n")
    daemon = start()
    assert daemon.end() == 78
    assert "READY=1" not in daemon.said
    log = daemon.log.read_text()
    assert "config.toml, line 2: proxy.url: expected a string, got the integer 1" in log
    assert "config.toml, line 4: node.yum: expected a boolean, got the integer 2" in log
    assert "Traceback" not in log


def test_wrong_user_data_ends_it_with_78_and_is_told(node: Node, service: MetadataService, start: Start) -> None:
    """A mistake in user data ends it too, and `status` tells afterwards what it was."""
    service.instance = Instance(user_data=b"Content-Type: application/x-eks-proxy-agent\n\n[node]\nyum = 1\n")
    configure(node, service.endpoint)
    assert start().end() == 78
    assert status(node)["phase"] == "degraded"
    assert "user data, line 2: node.yum: expected a boolean, got the integer 1" in str(status(node)["error"])


def test_what_a_degraded_node_means_is_what_can_be_seen(node: Node, start: Start) -> None:
    """A typo hides the policy of a node that was baked closed; its gates are there, so docker
    cannot start.
    """
    node.settings('[proxy]\nurl = "http://proxy:3128"\n[failure]\npolicy = "closed"\n')
    assert node.main("bake").code == 0
    node.settings("[proxy]\nurl = 1\n")
    daemon = start()
    assert daemon.end() == 78
    (line,) = [line for line in daemon.log.read_text().splitlines() if "node.degraded" in line]
    assert "policy=closed" in line
    assert 'meaning="docker and kubelet stay stopped' in line


@pytest.mark.parametrize("trouble", ["no metadata", "wrong settings", "wrong user data"])
def test_a_node_that_was_never_configured_tells_the_fleet(
    node: Node, service: MoodyService, start: Start, trouble: str
) -> None:
    """The metrics of the boot before are replaced by the word that it is degraded, whether the
    daemon stays or ends.
    """
    directory = node.root / ("srv/metrics" if trouble != "wrong settings" else "var/lib/node_exporter")
    directory.mkdir(parents=True)
    (directory / "eks_proxy_agent.prom").write_text('eks_proxy_agent_phase{phase="configured"} 1\n')
    if trouble == "wrong user data":
        service.instance = Instance(user_data=b"Content-Type: application/x-eks-proxy-agent\n\n[node]\nyum = 1\n")
    endpoint = service.endpoint if trouble != "no metadata" else "http://{}:{}".format(*free_port("127.0.0.1"))
    more = '[watch]\nmetrics = "/srv/metrics"' if trouble != "wrong settings" else "oops = 1"
    deadline = 0.2 if trouble == "no metadata" else 30  # or else a busy machine would lack metadata too
    configure(node, endpoint, more, deadline=deadline)
    daemon = start()
    if trouble == "no metadata":
        daemon.hear("READY=1")
        until = time.monotonic() + PATIENCE
        while not status(node).get("metrics") and time.monotonic() < until:
            time.sleep(0.02)
    else:
        assert daemon.end() == 78
    shown = (directory / "eks_proxy_agent.prom").read_text()
    assert 'eks_proxy_agent_phase{phase="degraded"} 1' in shown
    assert "last_success" not in shown


def test_without_a_proxy_it_is_ready_and_unconfigured(node: Node, service: MetadataService, start: Start) -> None:
    """No settings is a valid state: READY=1, phase unconfigured, no file of the node touched."""
    configure(node, service.endpoint, proxy="")
    before = node.tree("var/lib/eks-proxy-agent")
    daemon = start()
    daemon.hear("READY=1")
    daemon.stop()
    assert any(line.startswith("STATUS=unconfigured") for line in daemon.said)
    assert status(node)["phase"] == "unconfigured"
    assert node.tree("var/lib/eks-proxy-agent") == before


def test_a_ca_that_changed_while_the_daemon_was_away_makes_older_processes_stale(
    node: Node, service: MetadataService, start: Start, tmp_path: Path
) -> None:
    """Its moment is remembered at a restart as well; that of one that was only missing meanwhile is
    not.
    """
    (node.root / "usr/local/share/ca-certificates").mkdir(parents=True)
    made = certificates.make(tmp_path)

    def ca_changed_at(name: str) -> float:
        node.write("etc/corp.pem", (made / name).read_bytes())
        node.write("etc/eks-proxy-agent/config.d/ca.toml", b'[node]\nca_bundle = "/etc/corp.pem"\n')
        configure(node, service.endpoint)
        daemon = start()
        daemon.hear("READY=1")
        daemon.stop()
        return float(json.loads(node.read("run/eks-proxy-agent/watch.json"))["ca_changed_at"])

    first = ca_changed_at("Corp Proxy CA.pem")
    (node.root / "usr/local/share/ca-certificates/eks-proxy-agent.crt").unlink()
    assert ca_changed_at("Corp Proxy CA.pem") == first
    assert ca_changed_at("Expired CA.pem") > first


def test_what_user_data_says_of_the_units_is_known_before_metadata(
    node: Node, service: MetadataService, start: Start
) -> None:
    """An image that is closed, opened by user data: from the second boot on nothing is written and
    taken back again.
    """
    node.write("etc/machine-id", b"0123456789abcdef0123456789abcdef\n")
    text = b'Content-Type: application/x-eks-proxy-agent\n\n[failure]\npolicy = "open"\n[node]\nunits = ["kubelet"]\n'
    service.instance = Instance(user_data=text)
    configure(node, service.endpoint, '[failure]\npolicy = "closed"')
    gate = "etc/systemd/system/docker.service.d/91-eks-proxy-closed.conf"
    first = start()
    first.hear("READY=1")
    first.stop()
    assert "file.removed file=/" + gate in first.log.read_text()
    second = start()
    second.hear("READY=1")
    second.stop()
    assert "file." not in second.log.read_text()
    assert not (node.root / gate).exists()
    known = json.loads(node.read("var/lib/eks-proxy-agent/prepared.json"))
    node.write("var/lib/eks-proxy-agent/prepared.json", json.dumps({**known, "units": 7}).encode())
    spoilt = start()
    spoilt.hear("READY=1")
    spoilt.stop()
    assert json.loads(node.read("var/lib/eks-proxy-agent/prepared.json")) == known
    node.write("etc/machine-id", b"f" * 32 + b"\n")  # a snapshot of it became another machine
    other = start()
    other.hear("READY=1")
    other.stop()
    assert "file.created file=/" + gate in other.log.read_text()


# --- life
# -----------------------------------------------------------------------------------------------------------


def test_sighup_reads_everything_again(node: Node, service: MetadataService, start: Start) -> None:
    """After SIGHUP changed settings and changed metadata are in the files when READY=1 is said
    again.
    """
    configure(node, service.endpoint)
    daemon = start()
    daemon.hear("READY=1")
    configure(node, service.endpoint, 'no_proxy = ["nexus.corp"]', proxy="http://other.corp:8080")
    service.instance = Instance(vpc_cidrs_v4=("10.77.0.0/16",))
    daemon.tell(signal.SIGHUP)
    daemon.hear("RELOADING=1")
    daemon.hear("READY=1")
    assert node.variables()["http_proxy"] == "http://other.corp:8080"
    assert {"nexus.corp", "10.77.0.0/16"} <= set(node.no_proxy())
    assert daemon.stop() == 0


def test_sighup_without_a_proxy_takes_everything_back(node: Node, service: MetadataService, start: Start) -> None:
    """When the proxy leaves the settings, the files are again what they were."""
    configure(node, service.endpoint, proxy="")
    before = node.tree("var/lib/eks-proxy-agent")
    configure(node, service.endpoint)
    daemon = start()
    daemon.hear("READY=1")
    configure(node, service.endpoint, proxy="")
    daemon.tell(signal.SIGHUP)
    daemon.hear("READY=1")
    assert node.tree("var/lib/eks-proxy-agent") == before
    assert daemon.stop() == 0


def test_sighup_with_wrong_settings_keeps_the_last_good_ones(
    node: Node, service: MetadataService, start: Start
) -> None:
    """A mistake in a reload degrades the node, loudly, and changes no file; it stays, and mends
    with the settings.
    """
    configure(node, service.endpoint)
    daemon = start()
    daemon.hear("READY=1")
    variables = node.variables()
    configure(node, service.endpoint, "oops = 1")
    daemon.tell(signal.SIGHUP)
    assert "oops: unknown key" in daemon.hear("STATUS=degraded")
    daemon.hear("READY=1")
    assert (status(node)["phase"], node.variables()) == ("degraded", variables)
    configure(node, service.endpoint)
    daemon.tell(signal.SIGHUP)
    daemon.hear("STATUS=configured")
    daemon.hear("READY=1")
    assert (status(node)["phase"], status(node)["error"]) == ("configured", None)
    assert daemon.stop() == 0


@pytest.mark.parametrize("policy", ["open", "closed"])
def test_a_node_without_metadata_recovers_by_itself(node: Node, start: Start, policy: str) -> None:
    """READY=1 after the deadline, degraded, closed without the file that docker waits for; then all
    is well by itself.
    """
    host, port = moods.free_port("127.0.0.1")
    configure(node, f"http://{host}:{port}", f'[failure]\npolicy = "{policy}"', deadline=0.3)
    daemon = start()
    told = daemon.hear("STATUS=degraded")
    assert ("docker and kubelet stay stopped" in told) == (policy == "closed")
    daemon.hear("READY=1")
    assert status(node)["phase"] == "degraded"
    assert "(tried for 0.3 s)" in str(status(node)["error"])
    ready = node.root / "run/eks-proxy-agent/ready"
    gate = node.root / "etc/systemd/system/docker.service.d/91-eks-proxy-closed.conf"
    assert (ready.exists(), gate.exists()) == (False, policy == "closed")
    assert "http_proxy" not in node.variables()
    with MetadataService(host=host, port=port):
        daemon.hear("STATUS=configured")
        assert daemon.stop() == 0
    assert node.variables()["http_proxy"] == PROXY
    assert status(node)["phase"] == "configured"
    assert ready.exists()
    assert "error: node.degraded" in daemon.log.read_text()


def test_a_degraded_node_tries_until_it_is_mended(node: Node, service: MoodyService, start: Start) -> None:
    """One failed try is not the last one: it goes on, with longer pauses, until a pass is good;
    READY=1 is said once.
    """
    service.moods.append(Mood(moods.answer(b"rubbish"), "/mac", times=2))
    configure(node, service.endpoint)
    daemon = start()
    daemon.hear("STATUS=degraded")
    daemon.hear("STATUS=degraded")
    daemon.hear("STATUS=configured")
    assert daemon.stop() == 0
    assert daemon.said.count("READY=1") == 1
    assert node.variables()["http_proxy"] == PROXY
    assert daemon.log.read_text().count("error: node.degraded") == 1, "the same trouble is told once"


@pytest.mark.parametrize(
    ("value", "seconds"), [("200000", 0.1), ("180000000", 90.0), ("", None), ("0", None), ("x", None)]
)
def test_the_watchdog_is_pinged_in_half_its_time(
    monkeypatch: pytest.MonkeyPatch, value: str, seconds: float | None
) -> None:
    """Twice as often as systemd demands (sd_watchdog_enabled(3)), and not at all without a
    watchdog.
    """
    monkeypatch.setenv("WATCHDOG_USEC", value)
    assert watching.watchdog_interval() == seconds


def test_systemd_is_told_of_names_of_any_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python has the bytes of a file's name that are not UTF-8 as halves of characters, which
    cannot be sent.
    """
    with (
        tempfile.TemporaryDirectory(prefix="run-") as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end,
    ):
        end.bind(directory + "/notify")
        end.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", directory + "/notify")
        notifier()(os.fsdecode(b"STATUS=degraded: /etc/\xff\0: is a directory"))
        assert end.recv(4096) == rb"STATUS=degraded: /etc/\udcff\0: is a directory"


def test_the_last_good_values_stay_while_metadata_is_gone(node: Node, service: MetadataService, start: Start) -> None:
    """A start without metadata leaves the files of the last boot as they are."""
    configure(node, service.endpoint)
    daemon = start()
    daemon.hear("READY=1")
    daemon.stop()
    stamps = node.stamps()
    host, port = moods.free_port("127.0.0.1")
    configure(node, f"http://{host}:{port}", deadline=0.3)
    settings = node.root / "etc/eks-proxy-agent/config.toml"
    daemon = start()
    daemon.hear("READY=1")
    daemon.stop()
    changed = {name for name, stamp in node.stamps().items() if stamp != stamps.get(name)}
    assert changed <= {str(settings.relative_to(node.root))}


def test_it_pings_the_watchdog(node: Node, service: MetadataService, start: Start) -> None:
    """With a watchdog of 200 ms it pings in time, again and again."""
    configure(node, service.endpoint)
    daemon = start({"WATCHDOG_USEC": "200000"})
    daemon.hear("READY=1")
    for _ in range(5):
        daemon.hear("WATCHDOG=1")
    assert daemon.stop() == 0


def test_it_is_quiet_without_a_watchdog(node: Node, service: MetadataService, start: Start) -> None:
    """Without one it says nothing after the boot until it is asked to end."""
    configure(node, service.endpoint)
    daemon = start()
    daemon.hear("READY=1")
    daemon.stop()
    assert daemon.said[daemon.said.index("READY=1") + 1 :] == ["STOPPING=1"]


def test_a_killed_daemon_leaves_a_whole_node(node: Node, service: MetadataService, start: Start) -> None:
    """SIGKILL takes nothing away, and the next start finds nothing to do."""
    configure(node, service.endpoint)
    daemon = start()
    daemon.hear("READY=1")
    stamps = node.stamps()
    daemon.tell(signal.SIGKILL)
    assert daemon.end() == -signal.SIGKILL
    again = start()
    again.hear("READY=1")
    assert again.stop() == 0
    assert node.stamps() == stamps


def test_neither_log_nor_status_hold_credentials(node: Node, service: MetadataService, start: Start) -> None:
    """What is told to systemd, to the journal and to everyone in status.json has no password in
    it.
    """
    node.write("etc/proxy.pass", b"alice:hunter2@x\n", 0o600)
    configure(node, service.endpoint, 'credentials_file = "/etc/proxy.pass"\nno_proxy = ["http://alice:hunter2@p"]')
    wrong = start()
    assert wrong.end() == 78
    configure(node, service.endpoint, 'credentials_file = "/etc/proxy.pass"')
    daemon = start()
    daemon.hear("READY=1")
    configure(node, service.endpoint, 'credentials_file = "/etc/proxy.pass"\nno_proxy = ["http://alice:hunter2@p"]')
    daemon.tell(signal.SIGHUP)
    daemon.hear("STATUS=degraded")
    daemon.hear("READY=1")
    daemon.stop()
    told = "\n".join([*wrong.said, *daemon.said, wrong.log.read_text(), daemon.log.read_text()])
    for text in (told, node.read("run/eks-proxy-agent/status.json")):
        assert "degraded" in text
        assert "hunter2" not in text
    assert "hunter2%40x" in node.read("etc/eks-proxy-agent/node.env")


def test_nothing_is_inherited_by_accident(node: Node, service: MetadataService, start: Start) -> None:
    """Proxy variables of the daemon's own environment do not lead its questions to a proxy."""
    configure(node, service.endpoint)
    daemon = start({"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "no_proxy": ""})
    daemon.hear("STATUS=configured")
    daemon.hear("READY=1")
    assert daemon.stop() == 0
