"""The metrics as node_exporter serves them, and as promtool judges them; and the file's whole
life.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog

from agent.core.settings.schema import Watch
from agent.core.status.document import StatusDocument
from agent.edges.files import FileSystem
from agent.edges.state import State
from agent.edges.systemd import Systemd
from agent.node import metrics_file
from agent.node.host import Host
from tests.integration.command_line import PROXY, REPOSITORY, Node
from tests.integration.moods import free_port

USUAL = metrics_file.USUAL[0]
SECRET = "http://user:pa55word@proxy.corp:3128"
FULL: Mapping[str, Any] = {
    "schema": 1,
    "version": "1.2.3",
    "phase": "degraded",
    "error": 'a\n"b"',
    "updated": "2026-11-22T20:31:05+00:00",
    "last_success": "2026-11-22T20:31:05+00:00",
    "next_pass": "2026-11-22T20:41:05+00:00",
    "instance_id": "i-0a1b2c3d4e5f60718",
    "region": "eu-central-1",
    "intent": "349dd264e6c3",
    "files": ["/etc/environment", "/etc/systemd/system/docker.service.d/90-eks-proxy.conf"],
    "stale_units": ["docker.service"],
    "repairs": {"total": 7, "fought": ['/etc/a "quoted" \\ name']},
    "proxies": [{"url": SECRET, "up": True, "latency_seconds": 0.25, "chosen": True, "since": None}],
    "preflight": {"ok": True, "kind": "ok", "text": "", "at": "2026-11-22T20:31:05+00:00"},
}


@pytest.fixture(autouse=True)
def _fresh_log() -> Iterator[None]:
    """The log goes to the standard error of each test, not of the first that logged."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture
def machine(tmp_path: Path) -> Host:
    """An empty tree with the usual directory of the collector."""
    disk = FileSystem(str(tmp_path))
    (tmp_path / USUAL[1:]).mkdir(parents=True)
    return Host(disk, State(disk), Systemd(running=False))


def directory(machine: Host, path: str = USUAL) -> Path:
    """A directory of the tree."""
    return Path(machine.files.real(path))


def publish(machine: Host, value: Any = None, **changed: Any) -> dict[str, Any]:
    """Publish as the daemon does after a pass: what status.json says then."""
    known = machine.state.status()
    document = StatusDocument.from_json({**FULL, **changed})
    with machine.locked() as state:
        state.save_status(attrs.evolve(document, metrics=known.metrics if known else None))
        metrics_file.publish(state, machine.files, Watch(metrics=value), told(machine))
    found = told(machine).metrics
    assert found
    return found.to_json()


def told(machine: Host) -> StatusDocument:
    """What status.json says."""
    status = machine.state.status()
    assert status
    return status


def test_promtool_finds_nothing_to_complain_of(machine: Host) -> None:
    """`promtool check metrics` reads the file, likes every name, and says nothing."""
    publish(machine)
    with (directory(machine) / metrics_file.NAME).open("rb") as file:
        done = subprocess.run(
            ["promtool", "check", "metrics"], stdin=file, capture_output=True, check=False, timeout=60
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_node_exporter_serves_them(machine: Host) -> None:
    """A real node_exporter shows every sample of the file, with labels and values as they were, and
    no error.
    """
    publish(machine)
    written = samples((directory(machine) / metrics_file.NAME).read_text())
    with node_exporter(directory(machine)) as fetch:
        served = fetch()
    assert {name: served.get(name) for name in written} == written
    assert len(written) > 15
    assert served["node_textfile_scrape_error"] == 0


def test_node_exporter_never_reads_half_a_file(machine: Host) -> None:
    """What an interrupted write leaves beside the file has a name that the collector does not
    read.
    """
    publish(machine)
    (directory(machine) / (f".{metrics_file.NAME}.eks-proxy-agent")).write_text("eks_proxy_agent_phase{pha")
    with node_exporter(directory(machine)) as fetch:
        assert fetch()["node_textfile_scrape_error"] == 0


def test_everyone_may_read_and_no_password_is_in_it(machine: Host) -> None:
    """The file has mode 0644 whatever the umask, and holds no credential."""
    before = os.umask(0o077)
    try:
        publish(machine)
    finally:
        os.umask(before)
    path = directory(machine) / metrics_file.NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert "pa55word" not in path.read_text()
    assert "proxy.corp:3128" in path.read_text()


@pytest.mark.parametrize("usual", metrics_file.USUAL)
def test_auto_finds_the_usual_directories(tmp_path: Path, usual: str) -> None:
    """The value "auto" takes the directory that exists, and makes none."""
    disk = FileSystem(str(tmp_path))
    machine = Host(disk, State(disk), Systemd(running=False))
    assert publish(machine) == {"path": None, "error": None}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    directory(machine, usual).mkdir(parents=True)
    assert publish(machine) == {"path": f"{usual}/{metrics_file.NAME}", "error": None}
    assert os.listdir(directory(machine, usual)) == [metrics_file.NAME]


def test_none_means_none(machine: Host) -> None:
    """With "" there is no file, and one that was there before goes."""
    publish(machine)
    assert publish(machine, "") == {"path": None, "error": None}
    assert os.listdir(directory(machine)) == []


def test_another_directory(machine: Host) -> None:
    """A directory of the owner's gets the file, and loses it when another is named."""
    for name in ("/srv/one", "/srv/two"):
        directory(machine, name).mkdir(parents=True)
        assert publish(machine, name) == {"path": f"{name}/{metrics_file.NAME}", "error": None}
    assert os.listdir(directory(machine)) == os.listdir(directory(machine, "/srv/one")) == []
    assert os.listdir(directory(machine, "/srv/two")) == [metrics_file.NAME]


def test_what_did_not_change_is_not_written(machine: Host) -> None:
    """The same values leave file and status.json as they are; another value is written."""
    publish(machine)
    path = directory(machine) / metrics_file.NAME
    before = path.stat()
    publish(machine)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    publish(machine, stale_units=[])
    assert path.stat().st_ino != before.st_ino


@pytest.mark.parametrize("trouble", ["missing", "a file", "not writable"])
def test_trouble_is_told_once(machine: Host, trouble: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory that is missing or read-only is warned of once, stands in status.json, and one
    line says when it is over.
    """
    place = "/srv/metrics"
    directory(machine, "/srv").mkdir()
    with spoilt(directory(machine, place), trouble):
        for _ in range(3):
            found = publish(machine, place)
            assert (found["path"], place in found["error"]) == (f"{place}/{metrics_file.NAME}", True)
    assert capsys.readouterr().err.count("metrics.failed") == 1
    directory(machine, place).mkdir(exist_ok=True)
    for _ in range(3):
        assert publish(machine, place)["error"] is None
    said = capsys.readouterr().err
    assert (said.count("metrics.written"), said.count("metrics.failed")) == (1, 0)


def test_status_and_metrics_may_both_fail(machine: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """On a disk that takes nothing publish still returns: the journal has to do."""
    directory(machine, "/run/eks-proxy-agent/status.json").mkdir(parents=True)
    with machine.locked() as state:
        metrics_file.publish(state, machine.files, Watch(metrics="/nowhere"), StatusDocument.from_json(FULL))
    said = capsys.readouterr().err
    assert "metrics.failed" in said
    assert "status.failed" in said


def test_a_link_of_somebody_elses_is_replaced_and_not_followed(machine: Host, tmp_path: Path) -> None:
    """The directory may be another user's: where they link our name to is neither written nor
    removed.
    """
    other = tmp_path / "passwd"
    other.write_text("root:x:0:0\n")
    path = directory(machine) / metrics_file.NAME
    path.symlink_to(other)
    publish(machine)
    assert (path.is_symlink(), other.read_text()) == (False, "root:x:0:0\n")
    path.unlink()
    path.symlink_to(other)
    assert metrics_file.withdraw(machine) == (f"{USUAL}/{metrics_file.NAME}",)
    assert (os.path.lexists(path), other.read_text()) == (False, "root:x:0:0\n")


@pytest.mark.parametrize("command", ["revert", "clean"])
def test_metrics_go_with_the_agent(tmp_path: Path, command: str) -> None:
    """revert and clean remove the file, whichever directory it is in, and say so: what it says
    would be a lie from then on.
    """
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n')
    assert node.main("apply").code == 0
    disk = FileSystem(str(node.root))
    machine = Host(disk, State(disk), Systemd(running=False))
    directory(machine, "/srv/metrics").mkdir(parents=True)
    with machine.locked() as state:
        metrics_file.publish(state, machine.files, Watch(metrics="/srv/metrics"), told(machine))
    assert os.listdir(directory(machine, "/srv/metrics")) == [metrics_file.NAME]
    done = node.main(command)
    assert done.code == 0
    assert f"removed /srv/metrics/{metrics_file.NAME}\n" in done.out
    assert os.listdir(directory(machine, "/srv/metrics")) == []
    assert "nothing to do" in node.main(command).out


# --- alerts
# ---------------------------------------------------------------------------------------------------------

ALERTS = REPOSITORY / "packaging/alerts"


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool among the rules."""
    command = ["promtool", *arguments]
    return subprocess.run(command, cwd=ALERTS, capture_output=True, text=True, check=False, timeout=120)


def test_promtool_takes_the_rules() -> None:
    """`promtool check rules` finds every rule, and nothing to complain of."""
    done = promtool("check", "rules", "eks-proxy-agent.rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(alerts())} rules found" in done.stdout


def test_the_rules_do_what_their_tests_say() -> None:
    """`promtool test rules` passes: each alert fires when it should, and keeps still when it
    should.
    """
    done = promtool("test", "rules", "eks-proxy-agent.test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_its_test() -> None:
    """Each alert is seen firing, and seen still, by a test of its own; each has severity, summary
    and description.
    """
    import yaml

    tests = yaml.safe_load((ALERTS / "eks-proxy-agent.test.yml").read_text())["tests"]
    seen = [case for test in tests for case in test["alert_rule_test"]]
    firing = {case["alertname"] for case in seen if case.get("exp_alerts")}
    still = {case["alertname"] for case in seen if not case.get("exp_alerts")}
    assert firing == still == {rule["alert"] for rule in alerts()}
    for rule in alerts():
        assert (set(rule["labels"]), set(rule["annotations"])) == ({"severity"}, {"summary", "description"})


def test_the_rules_name_metrics_that_there_are(machine: Host) -> None:
    """Each metric of ours in a rule, and each phase, is one that the agent writes."""
    publish(machine)
    text = (directory(machine) / metrics_file.NAME).read_text()
    names = {word for rule in alerts() for word in words(rule["expr"]) if word.startswith("eks_proxy_agent_")}
    assert names
    assert {name for name in names if f"# TYPE {name} " not in text} == set()


def alerts() -> list[dict[str, Any]]:
    """The rules."""
    import yaml

    groups = yaml.safe_load((ALERTS / "eks-proxy-agent.rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def words(expression: str) -> list[str]:
    """The names in an expression."""
    return "".join(char if char.isalnum() or char == "_" else " " for char in expression).split()


# --- what they need
# -------------------------------------------------------------------------------------------------


def samples(text: str) -> dict[str, float]:
    """Series → value, of the text format."""
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {series: float(value) for series, _, value in lines}


@contextmanager
def node_exporter(textfiles: Path) -> Iterator[Any]:
    """A node_exporter on loopback with nothing but the textfile collector; gives a function that
    scrapes it.
    """
    address = "{}:{}".format(*free_port("127.0.0.1"))
    program = shutil.which("prometheus-node-exporter") or "node_exporter"
    flags = ["--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={textfiles}"]
    process = subprocess.Popen(
        [program, *flags, "--web.listen-address=" + address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def fetch() -> dict[str, float]:
        for _ in range(200):
            try:
                with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
                    return samples(answer.read().decode())
            except OSError:
                assert process.poll() is None, "node_exporter ended"
                time.sleep(0.05)
        raise AssertionError("node_exporter does not answer")

    try:
        yield fetch
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def spoilt(place: Path, trouble: str) -> Iterator[None]:
    """No directory, or one that cannot be written; in /proc nobody can, not even root."""
    if trouble == "missing":
        yield
    elif trouble == "a file":
        place.write_text("")
        yield
        place.unlink()
    else:
        place.symlink_to("/proc/self")
        yield
        place.unlink()
