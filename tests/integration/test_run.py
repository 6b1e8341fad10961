"""`run`, the daemon, as a real process with a notification socket in the place of systemd."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.daemon import boot as boot_module
from agent.daemon.boot import boot
from agent.daemon.daemon import Daemon
from agent.daemon.protocol import Message, Ready
from agent.daemon.supervisor import watchdog_interval
from agent.demo.instance import Instance
from agent.demo.metadata_service import MetadataService
from agent.edges.files import FileSystem
from agent.edges.lock import held
from agent.edges.notify import notifier
from agent.edges.signals import watched
from agent.node.host import host_of
from agent.node.sources import SettingsSources
from tests.integration import certificates, moods
from tests.integration.command_line import PROXY, Node
from tests.integration.daemon import TIMEOUT, Start, configure, starter, status, wait_until
from tests.integration.moods import Mood, MoodyService, free_port


@pytest.fixture
def start(node: Node) -> Iterator[Start]:
    """A function that starts daemons on the node; they are killed after the test."""
    try:
        import systemd.daemon  # noqa: F401
    except ImportError:
        pytest.fail("systemd-python is not installed for this Python: `run` cannot be tested (packaging/setup.sh test)")
    with starter(node) as start:
        yield start


@pytest.fixture
def service() -> Iterator[MoodyService]:
    """The metadata service of the nodes."""
    with MoodyService() as service:
        yield service


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node; `configure` writes its settings."""
    return Node(tmp_path)


# --- boot


def test_all_files_are_written_before_ready(node: Node, service: MetadataService) -> None:
    """Every file is in place when READY=1 is sent, and it is sent once."""
    configure(node, service.endpoint)
    host = host_of(argparse.Namespace(root=str(node.root)))
    messages: list[Message] = []

    def send(message: Message) -> None:
        messages.append(message)
        if message == Ready():
            assert node.variables()["http_proxy"] == PROXY
            assert node.variables("etc/eks-proxy-agent/node.env")["http_proxy"] == PROXY
            assert (node.root / "etc/systemd/system/docker.service.d/zz-eks-proxy.conf").exists()
            assert status(node)["phase"] == "configured"
            assert (node.root / "run/eks-proxy-agent/ready").exists()

    with watched() as signals:
        assert boot(Daemon(host, SettingsSources(), send, signals)) is not None
    assert messages.count(Ready()) == 1
    assert messages[-1] == Ready()


def test_daemon_boots_and_stops_on_sigterm(node: Node, service: MetadataService, start: Start) -> None:
    """The daemon reports each step and READY=1, runs on, and exits with 0 on SIGTERM.

    Its files stay in place.
    """
    configure(node, service.endpoint)
    daemon = start()
    daemon.wait_for("READY=1")
    assert daemon.notifications[:2] == [
        "STATUS=writing drop-ins",
        "STATUS=querying the metadata service at " + service.endpoint,
    ]
    assert daemon.notifications[2].startswith(f"STATUS=configured: {PROXY}, ")
    assert "10.42.0.0/16" in node.no_proxy()
    assert daemon.process.poll() is None
    assert daemon.stop() == 0
    assert daemon.notifications[-1] == "STOPPING=1"
    assert node.variables()["http_proxy"] == PROXY
    assert "Traceback" not in daemon.log.read_text()
    assert "info: node.configured instance_id=" in daemon.log.read_text()


def test_daemon_runs_without_systemd(node: Node, service: MetadataService, start: Start) -> None:
    """Without a notification socket the daemon does the same; SIGINT stops it too."""
    configure(node, service.endpoint)
    daemon = start({"NOTIFY_SOCKET": ""})
    limit = time.monotonic() + TIMEOUT
    while "node.configured" not in daemon.log.read_text() and time.monotonic() < limit:
        time.sleep(0.02)
    daemon.send_signal(signal.SIGINT)
    assert daemon.wait() == 0
    assert daemon.notifications == []
    assert node.variables()["http_proxy"] == PROXY


def test_second_boot_writes_nothing(node: Node, service: MetadataService, start: Start) -> None:
    """If nothing differs, a start writes no file and logs no change."""
    configure(node, service.endpoint)
    first = start()
    first.wait_for("READY=1")
    first.stop()
    stamps = node.stamps()
    second = start()
    second.wait_for("READY=1")
    second.stop()
    assert node.stamps() == stamps
    assert "file." not in second.log.read_text()


def test_drop_ins_do_not_wait_for_metadata(node: Node, service: MoodyService, start: Start) -> None:
    """Drop-ins are written while the metadata service does not respond, and READY=1 is not sent."""
    service.moods.append(Mood(moods.hang, times=1000))
    configure(node, service.endpoint)
    daemon = start()
    daemon.wait_for("STATUS=querying the metadata service")
    assert (node.root / "etc/systemd/system/docker.service.d/zz-eks-proxy.conf").exists()
    assert "http_proxy" not in node.variables()
    assert "READY=1" not in daemon.notifications


def test_sigterm_ends_the_wait_for_metadata(node: Node, service: MoodyService, start: Start) -> None:
    """SIGTERM during the wait for metadata ends the daemon with 0, so no shutdown is delayed."""
    service.moods.append(Mood(moods.status(503), times=10**6))
    configure(node, service.endpoint, deadline=3600)
    daemon = start()
    daemon.wait_for("STATUS=querying the metadata service")
    assert daemon.stop() == 0
    assert daemon.notifications[-1] == "STOPPING=1"
    assert "READY=1" not in daemon.notifications


def test_wait_for_metadata_shows_the_seconds_left(node: Node, service: MoodyService, start: Start) -> None:
    """`systemctl status` says what the boot waits for, and how long it still may."""
    service.moods.append(Mood(moods.status(404), "/mac", times=1))
    configure(node, service.endpoint)
    daemon = start()
    text = daemon.wait_for("STATUS=waiting, ")
    assert re.fullmatch(r"STATUS=waiting, \d+ s left: instance metadata service at http:.*/mac: not set \(404\)", text)
    daemon.wait_for("STATUS=configured")
    assert daemon.stop() == 0


def test_boot_waits_for_the_lock_within_its_budget(node: Node, service: MetadataService, start: Start) -> None:
    """A lock that another run holds does not end the boot; `systemctl status` names the holder."""
    configure(node, service.endpoint, deadline=3600)
    with held(FileSystem(str(node.root))):
        daemon = start()
        text = daemon.wait_for("STATUS=waiting, ")
        assert re.fullmatch(rf"STATUS=waiting, 3\d{{3}} s left: .*locked by another run \(pid {os.getpid()}\)", text)
    daemon.wait_for("STATUS=configured")
    daemon.wait_for("READY=1")
    assert daemon.stop() == 0
    assert "degraded" not in daemon.log.read_text()


def test_lock_that_is_never_released_degrades_the_boot(node: Node, service: MetadataService, start: Start) -> None:
    """Units start when the budget is spent; the daemon tries again, as at boot."""
    configure(node, service.endpoint, deadline=0.3)
    with held(FileSystem(str(node.root))):
        daemon = start()
        assert "locked by another run" in daemon.wait_for("STATUS=degraded")
        daemon.wait_for("READY=1")
    daemon.wait_for("STATUS=configured")
    assert daemon.stop() == 0
    assert daemon.notifications.count("READY=1") == 1
    assert "crashed" not in daemon.log.read_text()


TYPO = "[node]\nyum = 2\n"
INVALID = "[proxy\n"


@pytest.mark.parametrize("wrong", [TYPO, INVALID], ids=["wrong value", "no TOML"])
def test_wrong_settings_at_boot_are_degraded_until_edited(
    node: Node, service: MetadataService, start: Start, wrong: str
) -> None:
    """READY=1 is sent, the daemon stays, and corrected settings take effect without a restart."""
    node.settings(wrong)
    daemon = start()
    report = daemon.wait_for("STATUS=degraded")
    assert "config.toml" in report
    assert "units start with the last good values" in report
    daemon.wait_for("READY=1")
    wait_until("the daemon to watch its files", lambda: status(node).get("next_pass"))
    assert status(node)["phase"] == "degraded"
    time.sleep(0.2)  # status.json is written before the supervisor sets its watches
    configure(node, service.endpoint)
    daemon.wait_for("STATUS=configured")
    wait_until("the phase", lambda: status(node)["phase"] == "configured")
    assert node.variables()["http_proxy"] == PROXY
    assert daemon.stop() == 0
    log = daemon.log.read_text()
    assert daemon.notifications.count("READY=1") == 1
    assert log.count("error: node.degraded") == 1
    assert "Traceback" not in log


def test_wrong_settings_are_all_reported(node: Node, start: Start) -> None:
    """The journal has every mistake, `systemctl status` the first one."""
    node.settings("[proxy]\nurl = 1\n[node]\nyum = 2\n")
    daemon = start()
    assert "config.toml, line 2: proxy.url: expected a string" in daemon.wait_for("STATUS=degraded")
    daemon.wait_for("READY=1")
    assert daemon.stop() == 0
    log = daemon.log.read_text()
    assert "config.toml, line 2: proxy.url: expected a string, got the integer 1" in log
    assert "config.toml, line 4: node.yum: expected a boolean, got the integer 2" in log


def test_wrong_user_data_is_degraded_until_it_changes(node: Node, service: MetadataService, start: Start) -> None:
    """A mistake in user data does not end the daemon either."""
    service.instance = Instance(user_data=b"Content-Type: application/x-eks-proxy-agent\n\n[node]\nyum = 1\n")
    configure(node, service.endpoint)
    daemon = start()
    daemon.wait_for("READY=1")
    assert status(node)["phase"] == "degraded"
    assert "user data, line 2: node.yum: expected a boolean, got the integer 1" in str(status(node)["error"])
    service.instance = Instance(user_data=b"Content-Type: application/x-eks-proxy-agent\n\n[node]\nyum = false\n")
    daemon.wait_for("STATUS=configured")
    assert daemon.stop() == 0


@pytest.mark.parametrize("is_baked", [True, False])
def test_wrong_settings_hold_docker_back_with_policy_closed(
    node: Node, service: MetadataService, start: Start, is_baked: bool
) -> None:
    """A typo elsewhere does not open the gates, whether they were baked or not.

    The corrected settings do.
    """
    closed = '[failure]\npolicy = "closed"\n'
    gate = node.root / "etc/systemd/system/docker.service.d/91-eks-proxy-closed.conf"
    if is_baked:
        node.settings(f'[proxy]\nurl = "{PROXY}"\n{closed}')
        assert node.main("bake").code == 0
    assert gate.exists() == is_baked
    node.settings(INVALID if is_baked else TYPO + closed)
    daemon = start()
    assert "docker and kubelet stay stopped" in daemon.wait_for("STATUS=degraded")
    assert gate.exists()
    daemon.wait_for("READY=1")
    wait_until("the daemon to watch its files", lambda: status(node).get("next_pass"))
    ready = node.root / "run/eks-proxy-agent/ready"
    assert not ready.exists()
    (line,) = [line for line in daemon.log.read_text().splitlines() if "node.degraded" in line]
    assert "policy=closed" in line
    assert 'meaning="docker and kubelet stay stopped' in line
    time.sleep(0.2)
    configure(node, service.endpoint, closed)
    daemon.wait_for("STATUS=configured")
    assert ready.exists()
    assert daemon.stop() == 0


def test_killed_worker_at_boot_degrades_the_node(node: Node, service: MoodyService, start: Start) -> None:
    """READY=1 is sent, status and metrics tell of the crash, and the boot is repeated."""
    (node.root / "var/lib/node_exporter").mkdir(parents=True)
    metrics = "var/lib/node_exporter/eks_proxy_agent.prom"
    service.moods.append(Mood(moods.hang, times=1))
    configure(node, service.endpoint, deadline=3600)
    daemon = start()
    daemon.wait_for("STATUS=querying the metadata service")
    daemon.kill_worker()
    assert daemon.wait_for("STATUS=degraded") == "STATUS=degraded: worker process killed by signal 9"
    daemon.wait_for("READY=1")
    wait_until("the metrics", lambda: 'eks_proxy_agent_phase{phase="degraded"} 1' in node.read(metrics))
    assert (status(node)["phase"], status(node)["error"]) == ("degraded", "worker process killed by signal 9")
    assert status(node)["next_pass"]
    daemon.wait_for("STATUS=configured")
    assert daemon.stop() == 0
    assert daemon.notifications.count("READY=1") == 1
    assert 'pass.crashed reason=boot ended="by signal 9"' in daemon.log.read_text()


@pytest.mark.parametrize("step", ["reconcile", "prepare", "facts_of"])
@pytest.mark.parametrize("error", [KeyError("x"), MemoryError(), OSError(28, "No space left on device")])
def test_any_exception_of_a_boot_is_a_degraded_node(
    node: Node,
    service: MetadataService,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    step: str,
    error: Exception,
) -> None:
    """READY=1 is sent; status has type and text, the journal also the origin, in one line."""
    configure(node, service.endpoint)
    messages: list[Message] = []

    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(boot_module, step, fail)
    with watched() as signals:
        host = host_of(argparse.Namespace(root=str(node.root)))
        assert boot(Daemon(host, SettingsSources(), messages.append, signals)) is None
    assert messages.count(Ready()) == 1
    assert status(node)["phase"] == "degraded"
    assert str(status(node)["error"]).startswith(type(error).__name__)
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "node.degraded" in line]
    assert "please report it: test_run.py:" in line


@pytest.mark.parametrize("redirection", [">/dev/full 2>&1", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("is_right", [True, False])
def test_log_that_cannot_be_written_changes_nothing(
    node: Node, service: MetadataService, start: Start, redirection: str, is_right: bool
) -> None:
    """With a full or closed stderr the node is configured, or degraded, and the daemon stays."""
    configure(node, service.endpoint, "" if is_right else "oops = 1")
    daemon = start(redirection=redirection)
    daemon.wait_for("STATUS=configured" if is_right else "STATUS=degraded")
    daemon.wait_for("READY=1")
    assert status(node)["phase"] == ("configured" if is_right else "degraded")
    assert daemon.stop() == 0
    assert node.variables().get("http_proxy") == (PROXY if is_right else None)


@pytest.mark.parametrize("error", ["no metadata", "wrong settings", "wrong user data"])
def test_degraded_boot_replaces_the_metrics(node: Node, service: MoodyService, start: Start, error: str) -> None:
    """Metrics of an earlier boot are replaced by a degraded phase."""
    directory = node.root / ("srv/metrics" if error != "wrong settings" else "var/lib/node_exporter")
    directory.mkdir(parents=True)
    (directory / "eks_proxy_agent.prom").write_text('eks_proxy_agent_phase{phase="configured"} 1\n')
    if error == "wrong user data":
        service.instance = Instance(user_data=b"Content-Type: application/x-eks-proxy-agent\n\n[node]\nyum = 1\n")
    endpoint = service.endpoint if error != "no metadata" else "http://{}:{}".format(*free_port("127.0.0.1"))
    more = '[watch]\nmetrics = "/srv/metrics"' if error != "wrong settings" else "oops = 1"
    deadline = 0.2 if error == "no metadata" else 30  # long enough for a busy machine
    configure(node, endpoint, more, deadline=deadline)
    daemon = start()
    daemon.wait_for("READY=1")
    wait_until("the metrics", lambda: status(node).get("metrics"))
    metrics = (directory / "eks_proxy_agent.prom").read_text()
    assert 'eks_proxy_agent_phase{phase="degraded"} 1' in metrics
    assert "last_success" not in metrics


def test_daemon_without_a_proxy_is_ready_and_unconfigured(node: Node, service: MetadataService, start: Start) -> None:
    """Without a proxy the daemon is ready, the phase is unconfigured, and no file changes."""
    configure(node, service.endpoint, proxy="")
    before = node.tree("var/lib/eks-proxy-agent")
    daemon = start()
    daemon.wait_for("READY=1")
    daemon.stop()
    assert any(line.startswith("STATUS=unconfigured") for line in daemon.notifications)
    assert status(node)["phase"] == "unconfigured"
    assert node.tree("var/lib/eks-proxy-agent") == before


def test_ca_changed_while_the_daemon_was_stopped_makes_processes_stale(
    node: Node, service: MetadataService, start: Start, tmp_path: Path
) -> None:
    """The time of a changed CA is saved at a restart too.

    A CA that was only missing meanwhile did not change.
    """
    (node.root / "usr/local/share/ca-certificates").mkdir(parents=True)
    directory = certificates.make(tmp_path)

    def ca_changed_at(name: str) -> float:
        node.write("etc/corp.pem", (directory / name).read_bytes())
        node.write("etc/eks-proxy-agent/config.d/ca.toml", b'[node]\nca_bundle = "/etc/corp.pem"\n')
        configure(node, service.endpoint)
        daemon = start()
        daemon.wait_for("READY=1")
        daemon.stop()
        return float(json.loads(node.read("run/eks-proxy-agent/watch.json"))["ca_changed_at"])

    first = ca_changed_at("Corp Proxy CA.pem")
    (node.root / "usr/local/share/ca-certificates/eks-proxy-agent.crt").unlink()
    assert ca_changed_at("Corp Proxy CA.pem") == first
    assert ca_changed_at("Expired CA.pem") > first


def test_units_of_user_data_are_remembered_for_the_next_boot(
    node: Node, service: MetadataService, start: Start
) -> None:
    """User data opens an image with policy closed.

    From the second boot on, no gate is written and removed again.
    """
    node.write("etc/machine-id", b"0123456789abcdef0123456789abcdef\n")
    text = b'Content-Type: application/x-eks-proxy-agent\n\n[failure]\npolicy = "open"\n[node]\nunits = ["kubelet"]\n'
    service.instance = Instance(user_data=text)
    configure(node, service.endpoint, '[failure]\npolicy = "closed"')
    gate = "etc/systemd/system/docker.service.d/91-eks-proxy-closed.conf"
    first = start()
    first.wait_for("READY=1")
    first.stop()
    assert "file.removed file=/" + gate in first.log.read_text()
    second = start()
    second.wait_for("READY=1")
    second.stop()
    assert "file." not in second.log.read_text()
    assert not (node.root / gate).exists()
    prepared = json.loads(node.read("var/lib/eks-proxy-agent/prepared.json"))
    node.write("var/lib/eks-proxy-agent/prepared.json", json.dumps({**prepared, "units": 7}).encode())
    third = start()  # prepared.json is corrupt
    third.wait_for("READY=1")
    third.stop()
    assert json.loads(node.read("var/lib/eks-proxy-agent/prepared.json")) == prepared
    node.write("etc/machine-id", b"f" * 32 + b"\n")  # another machine with a snapshot of this disk
    fourth = start()
    fourth.wait_for("READY=1")
    fourth.stop()
    assert "file.created file=/" + gate in fourth.log.read_text()


# --- after boot


def test_sighup_reloads_settings_and_metadata(node: Node, service: MetadataService, start: Start) -> None:
    """After SIGHUP, changed settings and metadata are in the files when READY=1 is sent again."""
    configure(node, service.endpoint)
    daemon = start()
    daemon.wait_for("READY=1")
    configure(node, service.endpoint, 'no_proxy = ["nexus.corp"]', proxy="http://other.corp:8080")
    service.instance = Instance(vpc_cidrs_v4=("10.77.0.0/16",))
    daemon.send_signal(signal.SIGHUP)
    daemon.wait_for("RELOADING=1")
    daemon.wait_for("READY=1")
    assert node.variables()["http_proxy"] == "http://other.corp:8080"
    assert {"nexus.corp", "10.77.0.0/16"} <= set(node.no_proxy())
    assert daemon.stop() == 0


def test_sighup_without_a_proxy_reverts_all_files(node: Node, service: MetadataService, start: Start) -> None:
    """When proxy.url is removed from the settings, the files have their original content again."""
    configure(node, service.endpoint, proxy="")
    before = node.tree("var/lib/eks-proxy-agent")
    configure(node, service.endpoint)
    daemon = start()
    daemon.wait_for("READY=1")
    configure(node, service.endpoint, proxy="")
    daemon.send_signal(signal.SIGHUP)
    daemon.wait_for("READY=1")
    assert node.tree("var/lib/eks-proxy-agent") == before
    assert daemon.stop() == 0


def test_sighup_with_wrong_settings_keeps_the_last_good_ones(
    node: Node, service: MetadataService, start: Start
) -> None:
    """Wrong settings at a reload degrade the node and change no file.

    A reload with corrected settings recovers it.
    """
    configure(node, service.endpoint)
    daemon = start()
    daemon.wait_for("READY=1")
    variables = node.variables()
    configure(node, service.endpoint, "oops = 1")
    daemon.send_signal(signal.SIGHUP)
    assert "oops: unknown key" in daemon.wait_for("STATUS=degraded")
    daemon.wait_for("READY=1")
    assert (status(node)["phase"], node.variables()) == ("degraded", variables)
    configure(node, service.endpoint)
    daemon.send_signal(signal.SIGHUP)
    daemon.wait_for("STATUS=configured")
    daemon.wait_for("READY=1")
    assert (status(node)["phase"], status(node)["error"]) == ("configured", None)
    assert daemon.stop() == 0


@pytest.mark.parametrize("policy", ["open", "closed"])
def test_a_node_without_metadata_recovers_by_itself(node: Node, start: Start, policy: str) -> None:
    """After the deadline the node is degraded and READY=1 is sent; it recovers without a restart.

    With policy closed there is no ready file until then.
    """
    host, port = moods.free_port("127.0.0.1")
    configure(node, f"http://{host}:{port}", f'[failure]\npolicy = "{policy}"', deadline=0.3)
    daemon = start()
    report = daemon.wait_for("STATUS=degraded")
    assert ("docker and kubelet stay stopped" in report) == (policy == "closed")
    daemon.wait_for("READY=1")
    assert status(node)["phase"] == "degraded"
    assert "(tried for 0.3 s)" in str(status(node)["error"])
    ready = node.root / "run/eks-proxy-agent/ready"
    gate = node.root / "etc/systemd/system/docker.service.d/91-eks-proxy-closed.conf"
    assert (ready.exists(), gate.exists()) == (False, policy == "closed")
    assert "http_proxy" not in node.variables()
    with MetadataService(host=host, port=port):
        daemon.wait_for("STATUS=configured")
        assert daemon.stop() == 0
    assert node.variables()["http_proxy"] == PROXY
    assert status(node)["phase"] == "configured"
    assert ready.exists()
    assert "error: node.degraded" in daemon.log.read_text()


def test_degraded_node_retries_until_a_reconcile_succeeds(node: Node, service: MoodyService, start: Start) -> None:
    """A failed reconcile is retried with growing delays until one succeeds.

    READY=1 is sent once.
    """
    service.moods.append(Mood(moods.answer(b"rubbish"), "/mac", times=2))
    configure(node, service.endpoint)
    daemon = start()
    daemon.wait_for("STATUS=degraded")
    daemon.wait_for("STATUS=degraded")
    daemon.wait_for("STATUS=configured")
    assert daemon.stop() == 0
    assert daemon.notifications.count("READY=1") == 1
    assert node.variables()["http_proxy"] == PROXY
    assert daemon.log.read_text().count("error: node.degraded") == 1, "the same error is logged once"


@pytest.mark.parametrize(
    ("value", "seconds"), [("200000", 0.1), ("180000000", 90.0), ("", None), ("0", None), ("x", None)]
)
def test_watchdog_interval_is_half_of_its_timeout(
    monkeypatch: pytest.MonkeyPatch, value: str, seconds: float | None
) -> None:
    """The daemon pings twice as often as required, and never without a watchdog.

    Source: sd_watchdog_enabled(3).
    """
    monkeypatch.setenv("WATCHDOG_USEC", value)
    assert watchdog_interval() == seconds


def test_notification_may_hold_any_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes of a file name that are not UTF-8 are surrogates in Python, and are sent escaped."""
    with (
        tempfile.TemporaryDirectory(prefix="run-") as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind(directory + "/notify")
        receiver.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", directory + "/notify")
        notifier()(os.fsdecode(b"STATUS=degraded: /etc/\xff\0: is a directory"))
        assert receiver.recv(4096) == rb"STATUS=degraded: /etc/\udcff\0: is a directory"


def test_lost_notification_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller learns that systemd did not get it, and decides what follows."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent/notify")
    assert notifier()("READY=1") is False
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert notifier()("READY=1") is True


def test_last_good_values_stay_without_metadata(node: Node, service: MetadataService, start: Start) -> None:
    """A start without metadata leaves the files of the last boot unchanged."""
    configure(node, service.endpoint)
    daemon = start()
    daemon.wait_for("READY=1")
    daemon.stop()
    stamps = node.stamps()
    host, port = moods.free_port("127.0.0.1")
    configure(node, f"http://{host}:{port}", deadline=0.3)
    settings = node.root / "etc/eks-proxy-agent/config.toml"
    daemon = start()
    daemon.wait_for("READY=1")
    daemon.stop()
    changed = {name for name, stamp in node.stamps().items() if stamp != stamps.get(name)}
    assert changed <= {str(settings.relative_to(node.root))}


def test_daemon_pings_the_watchdog(node: Node, service: MetadataService, start: Start) -> None:
    """With a watchdog of 200 ms the daemon pings in time, again and again."""
    configure(node, service.endpoint)
    daemon = start({"WATCHDOG_USEC": "200000"})
    daemon.wait_for("READY=1")
    for _ in range(5):
        daemon.wait_for("WATCHDOG=1")
    assert daemon.stop() == 0


def test_daemon_is_silent_without_a_watchdog(node: Node, service: MetadataService, start: Start) -> None:
    """Without a watchdog the daemon sends nothing between the boot and its stop."""
    configure(node, service.endpoint)
    daemon = start()
    daemon.wait_for("READY=1")
    daemon.stop()
    assert daemon.notifications[daemon.notifications.index("READY=1") + 1 :] == ["STOPPING=1"]


def test_killed_daemon_leaves_the_node_configured(node: Node, service: MetadataService, start: Start) -> None:
    """SIGKILL reverts nothing, and the next start finds nothing to do."""
    configure(node, service.endpoint)
    daemon = start()
    daemon.wait_for("READY=1")
    stamps = node.stamps()
    daemon.send_signal(signal.SIGKILL)
    assert daemon.wait() == -signal.SIGKILL
    again = start()
    again.wait_for("READY=1")
    assert again.stop() == 0
    assert node.stamps() == stamps


def test_log_and_status_hold_no_credentials(node: Node, service: MetadataService, start: Start) -> None:
    """No password is in notifications, in the log or in the world-readable status.json."""
    node.write("etc/proxy.pass", b"alice:hunter2@x\n", 0o600)
    configure(node, service.endpoint, 'credentials_file = "/etc/proxy.pass"\nno_proxy = ["http://alice:hunter2@p"]')
    wrong = start()
    wrong.wait_for("READY=1")
    wrong.stop()
    configure(node, service.endpoint, 'credentials_file = "/etc/proxy.pass"')
    daemon = start()
    daemon.wait_for("READY=1")
    configure(node, service.endpoint, 'credentials_file = "/etc/proxy.pass"\nno_proxy = ["http://alice:hunter2@p"]')
    daemon.send_signal(signal.SIGHUP)
    daemon.wait_for("STATUS=degraded")
    daemon.wait_for("READY=1")
    daemon.stop()
    output = "\n".join([*wrong.notifications, *daemon.notifications, wrong.log.read_text(), daemon.log.read_text()])
    for text in (output, node.read("run/eks-proxy-agent/status.json")):
        assert "degraded" in text
        assert "hunter2" not in text
    assert "hunter2%40x" in node.read("etc/eks-proxy-agent/node.env")


def test_daemon_ignores_proxy_variables_of_its_environment(node: Node, service: MetadataService, start: Start) -> None:
    """Proxy variables of the daemon's own environment do not send its requests to a proxy."""
    configure(node, service.endpoint)
    daemon = start({"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "no_proxy": ""})
    daemon.wait_for("STATUS=configured")
    daemon.wait_for("READY=1")
    assert daemon.stop() == 0
