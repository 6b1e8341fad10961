"""The metrics as node_exporter serves them, the alert rules, and the life of the file."""

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

import pytest
import structlog

from agent.core.record import evolve
from agent.core.settings.schema import Watch
from agent.core.status.counters import Counters
from agent.core.status.document import StatusDocument
from agent.core.status.records import METRICS_FILE
from agent.edges.files import FileSystem
from agent.edges.state import State
from agent.edges.systemd import Systemd
from agent.node import metrics_file
from agent.node.host import Host
from tests.integration.command_line import PROXY, REPOSITORY, Node
from tests.integration.moods import free_port

USUAL = metrics_file.USUAL[0]
PARENT = "/var/lib/node_exporter"
COPY = "/run/eks-proxy-agent/metrics.prom"
NOBODY = 65534
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
    "files": ["/etc/environment", "/etc/systemd/system/docker.service.d/zz-eks-proxy.conf"],
    "stale_units": ["docker.service"],
    "repairs": {"total": 7, "fought": ['/etc/a "quoted" \\ name']},
    "proxies": [{"url": SECRET, "up": True, "latency_seconds": 0.25, "chosen": True, "since": None}],
    "preflight": {"ok": True, "kind": "ok", "text": "", "at": "2026-11-22T20:31:05+00:00"},
    "kept_flags": 1,
    "ca_not_after": "2031-11-22T20:31:05+00:00",
    "counters": Counters().to_json(),
}


@pytest.fixture(autouse=True)
def _fresh_log() -> Iterator[None]:
    """The log goes to the standard error of each test, not of the first that logged."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """An empty tree with the usual directory of the collector."""
    disk = FileSystem(str(tmp_path))
    (tmp_path / USUAL[1:]).mkdir(parents=True)
    return Host(disk, State(disk), Systemd(running=False))


def directory(host: Host, path: str = USUAL) -> Path:
    """A directory of the tree."""
    return Path(host.files.real(path))


def publish(host: Host, value: Any = None, **changed: Any) -> dict[str, Any]:
    """Publish like the daemon after a reconcile; return the metrics part of status.json."""
    current = host.state.status()
    document = StatusDocument.from_json({**FULL, **changed})
    with host.locked() as state:
        state.save_status(evolve(document, metrics=current.metrics if current else None))
        metrics_file.publish(state, host.files, Watch(metrics=value), saved_status(host))
    metrics = saved_status(host).metrics
    assert metrics
    return metrics.to_json()


def written(*paths: str) -> dict[str, Any]:
    """The metrics part of status.json if these files and the one in /run are written."""
    return {"path": paths[0], "paths": list(paths), "error": None, "reason": None, "copy": COPY}


def saved_status(host: Host) -> StatusDocument:
    """The current status.json."""
    status = host.state.status()
    assert status
    return status


def test_promtool_reports_no_problem(host: Host) -> None:
    """`promtool check metrics` accepts the file and every name without a message."""
    publish(host)
    with (directory(host) / METRICS_FILE).open("rb") as file:
        done = subprocess.run(
            ["promtool", "check", "metrics"], stdin=file, capture_output=True, check=False, timeout=60
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_node_exporter_serves_the_metrics(host: Host) -> None:
    """A real node_exporter serves every sample with its labels and value, and no error."""
    publish(host)
    expected = samples((directory(host) / METRICS_FILE).read_text())
    with node_exporter(directory(host)) as fetch:
        served = fetch()
    assert {name: served.get(name) for name in expected} == expected
    assert len(expected) > 15
    assert served["node_textfile_scrape_error"] == 0


def test_node_exporter_never_reads_half_a_file(host: Host) -> None:
    """The temporary file of a killed write has a name that the collector does not read."""
    publish(host)
    (directory(host) / (f".{METRICS_FILE}.eks-proxy-agent")).write_text("eks_proxy_agent_phase{pha")
    with node_exporter(directory(host)) as fetch:
        assert fetch()["node_textfile_scrape_error"] == 0


def test_the_file_is_readable_by_all_and_has_no_password(host: Host) -> None:
    """The mode is 0644 whatever the umask."""
    before = os.umask(0o077)
    try:
        publish(host)
    finally:
        os.umask(before)
    path = directory(host) / METRICS_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert "pa55word" not in path.read_text()
    assert "proxy.corp:3128" in path.read_text()


def test_auto_finds_the_usual_directories(tmp_path: Path) -> None:
    """The value "auto" uses all of them that exist, and creates none."""
    disk = FileSystem(str(tmp_path))
    host = Host(disk, State(disk), Systemd(running=False))
    metrics = publish(host)
    assert (metrics["path"], metrics["paths"], metrics["error"], metrics["copy"]) == (None, [], None, COPY)
    assert USUAL in metrics["reason"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "var"]
    assert os.listdir(tmp_path / "var/lib") == ["eks-proxy-agent"]  # which the lock is on
    for number in range(len(metrics_file.USUAL)):
        usual = metrics_file.USUAL[: -number - 2 : -1]  # the parent of the first one before it
        directory(host, usual[-1]).mkdir(parents=True, exist_ok=True)
        assert publish(host) == written(*(f"{name}/{METRICS_FILE}" for name in reversed(usual)))
        for name in usual:
            assert (directory(host, name) / METRICS_FILE).read_text() == (tmp_path / COPY[1:]).read_text()


def test_the_metrics_in_run_need_no_collector(tmp_path: Path) -> None:
    """They are there with any directory in watch.metrics, also one that does not exist."""
    disk = FileSystem(str(tmp_path))
    host = Host(disk, State(disk), Systemd(running=False))
    for value in (None, "/nowhere"):
        publish(host, value)
        assert 'eks_proxy_agent_phase{phase="degraded"} 1' in (tmp_path / COPY[1:]).read_text()
        (tmp_path / COPY[1:]).unlink()


def test_one_broken_directory_does_not_hold_up_the_others(host: Host) -> None:
    """Each error is in status.json; the other files are written."""
    directory(host, metrics_file.USUAL[1]).parent.mkdir()
    directory(host, metrics_file.USUAL[1]).symlink_to("/proc/self")
    (Path(host.files.root) / "proc/self").mkdir(parents=True)
    (Path(host.files.root) / "proc/self" / METRICS_FILE).mkdir()
    metrics = publish(host)
    assert metrics["error"].count("watch.metrics: ") == 1
    for name in (USUAL, PARENT):
        assert (directory(host, name) / METRICS_FILE).is_file()


def test_the_collector_gets_the_metrics_without_those_in_run(host: Host, tmp_path: Path) -> None:
    """The error names the file in /run."""
    (tmp_path / COPY[1:]).mkdir(parents=True)
    assert publish(host)["error"].startswith(f"{COPY}: ")
    assert (directory(host) / METRICS_FILE).is_file()


def test_an_empty_setting_turns_the_metrics_off(host: Host, tmp_path: Path) -> None:
    """The existing files are removed, also the one in /run."""
    publish(host)
    expected = {"path": None, "paths": [], "error": None, "reason": "watch.metrics is empty", "copy": None}
    assert publish(host, "") == expected
    assert os.listdir(directory(host)) == []
    assert not (tmp_path / COPY[1:]).exists()


def test_the_file_follows_the_setting(host: Host) -> None:
    """The operator's directory gets the file; it is removed when the setting names another one."""
    for name in ("/srv/one", "/srv/two"):
        directory(host, name).mkdir(parents=True)
        assert publish(host, name) == written(f"{name}/{METRICS_FILE}")
    assert os.listdir(directory(host)) == os.listdir(directory(host, "/srv/one")) == []
    assert os.listdir(directory(host, "/srv/two")) == [METRICS_FILE]


def test_unchanged_metrics_are_not_written(host: Host) -> None:
    """The same values leave the file as it is; another value is written."""
    publish(host)
    path = directory(host) / METRICS_FILE
    before = path.stat()
    publish(host)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    publish(host, stale_units=[])
    assert path.stat().st_ino != before.st_ino


@pytest.mark.parametrize("trouble", ["missing", "a file", "not writable"])
def test_a_write_error_is_logged_once(host: Host, trouble: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing or read-only directory is one warning and an error in status.json.

    One line is logged when the error is over.
    """
    place = "/srv/metrics"
    directory(host, "/srv").mkdir()
    with broken(directory(host, place), trouble):
        for _ in range(3):
            metrics = publish(host, place)
            assert (metrics["path"], place in metrics["error"]) == (f"{place}/{METRICS_FILE}", True)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "metrics.failed" in line]
    assert "error=" in line
    assert place in line
    directory(host, place).mkdir(exist_ok=True)
    for _ in range(3):
        assert publish(host, place)["error"] is None
    log = capsys.readouterr().err
    assert (log.count("metrics.written"), log.count("metrics.failed")) == (1, 0)


def test_status_and_metrics_may_both_fail(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """If status.json cannot be written either, publish still returns; both errors are logged."""
    directory(host, "/run/eks-proxy-agent/status.json").mkdir(parents=True)
    with host.locked() as state:
        metrics_file.publish(state, host.files, Watch(metrics="/nowhere"), StatusDocument.from_json(FULL))
    log = capsys.readouterr().err
    assert "metrics.failed" in log
    assert "status.failed" in log


def test_a_link_of_another_user_is_replaced_and_not_followed(host: Host, tmp_path: Path) -> None:
    """The directory may belong to another user: a link's target is not written and not removed."""
    other = tmp_path / "passwd"
    other.write_text("root:x:0:0\n")
    path = directory(host) / METRICS_FILE
    path.symlink_to(other)
    publish(host)
    assert (path.is_symlink(), other.read_text()) == (False, "root:x:0:0\n")
    path.unlink()
    path.symlink_to(other)
    assert metrics_file.withdraw(host) == ((f"{USUAL}/{METRICS_FILE}", f"{PARENT}/{METRICS_FILE}"), ())
    assert (os.path.lexists(path), other.read_text()) == (False, "root:x:0:0\n")


@pytest.mark.needs_root("chown(2)")
@pytest.mark.parametrize(
    ("owner", "mode", "link_owner"),
    [(NOBODY, 0o755, NOBODY), (NOBODY, 0o755, 0), (0, 0o777, 0), (0, 0o775, 0), (0, 0o1777, NOBODY)],
)
@pytest.mark.parametrize("linked", ["/var/lib/node_exporter/textfile_collector", "/var/lib/node_exporter"])
def test_no_link_of_another_user_chooses_the_directory(
    host: Host, tmp_path: Path, owner: int, mode: int, link_owner: int, linked: str
) -> None:
    """With it another user could make root create a file, and remove one, anywhere."""
    (tmp_path / "etc/cron.d/textfile_collector").mkdir(parents=True)
    shutil.rmtree(directory(host, linked))
    link = directory(host, linked)
    link.symlink_to("/etc/cron.d")
    os.lchown(link, link_owner, link_owner)
    os.chown(link.parent, owner, owner)
    link.parent.chmod(mode)
    metrics = publish(host)
    assert "a link of another user" in metrics["error"]
    assert [path for path in (tmp_path / "etc").rglob("*") if path.is_file()] == []
    for theirs in (tmp_path / "etc/cron.d", tmp_path / "etc/cron.d/textfile_collector"):
        (theirs / METRICS_FILE).touch()
    removed, problems = metrics_file.withdraw(host)
    assert set(removed) <= {f"{PARENT}/{METRICS_FILE}"}
    assert any("a link of another user" in problem for problem in problems)
    assert len([path for path in (tmp_path / "etc").rglob("*") if path.is_file()]) == 2


@pytest.mark.needs_root("chown(2)")
def test_a_link_of_root_is_followed_and_a_directory_of_a_user_is_used(host: Host, tmp_path: Path) -> None:
    """An administrator moved the directory; it belongs to the user of node_exporter."""
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", NOBODY, NOBODY)
    directory(host).rmdir()
    directory(host).symlink_to("/data")
    assert publish(host)["error"] is None
    assert os.listdir(tmp_path / "data") == [METRICS_FILE]
    assert metrics_file.withdraw(host)[0][0] == f"{USUAL}/{METRICS_FILE}"
    assert os.listdir(tmp_path / "data") == []


def test_the_setting_may_have_dots(host: Host, tmp_path: Path) -> None:
    """status.json has the plain path, because it is refused there otherwise."""
    (tmp_path / "data").mkdir()
    assert publish(host, "/srv/..//data/./")["path"] == f"/data/{METRICS_FILE}"
    assert os.listdir(tmp_path / "data") == [METRICS_FILE]


@pytest.mark.parametrize("command", ["revert", "clean"])
def test_revert_and_clean_remove_the_metrics(tmp_path: Path, command: str) -> None:
    """They print the path, whichever directory it is in: the values would be wrong from then on."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n')
    assert node.main("apply").code == 0
    disk = FileSystem(str(node.root))
    host = Host(disk, State(disk), Systemd(running=False))
    directory(host, "/srv/metrics").mkdir(parents=True)
    with host.locked() as state:
        metrics_file.publish(state, host.files, Watch(metrics="/srv/metrics"), saved_status(host))
    assert os.listdir(directory(host, "/srv/metrics")) == [METRICS_FILE]
    done = node.main(command)
    assert done.code == 0
    assert f"removed /srv/metrics/{METRICS_FILE}\n" in done.out
    assert os.listdir(directory(host, "/srv/metrics")) == []
    assert "nothing to do" in node.main(command).out


# --- alerts ---------------------------------------------------------------------------------------

ALERTS = REPOSITORY / "packaging/alerts"


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool in the directory of the rules."""
    command = ["promtool", *arguments]
    return subprocess.run(command, cwd=ALERTS, capture_output=True, text=True, check=False, timeout=120)


def test_promtool_accepts_the_rules() -> None:
    """`promtool check rules` finds every rule and reports no problem."""
    done = promtool("check", "rules", "eks-proxy-agent.rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


def test_the_rules_pass_their_own_tests() -> None:
    """`promtool test rules` passes: each alert fires when it should, and only then."""
    done = promtool("test", "rules", "eks-proxy-agent.test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_its_test() -> None:
    """Each alert has a case in which it fires and one in which it does not.

    Each has severity, summary and description.
    """
    import yaml

    tests = yaml.safe_load((ALERTS / "eks-proxy-agent.test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", ())]
    firing = {case["alertname"] for case in cases if case.get("exp_alerts")}
    silent = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    assert firing == silent == {rule["alert"] for rule in alerts()}
    for rule in alerts():
        assert (set(rule["labels"]), set(rule["annotations"])) == (
            {"severity"},
            {"summary", "description", "runbook_url"},
        )


def test_every_recording_rule_has_its_test() -> None:
    """Each series of a fleet has a case with its value."""
    import yaml

    tests = yaml.safe_load((ALERTS / "eks-proxy-agent.test.yml").read_text())["tests"]
    expressions = [case["expr"].split()[0] for test in tests for case in test.get("promql_expr_test", ())]
    assert sorted(expressions) == sorted(rule["record"] for rule in rules() if "record" in rule)


def test_the_rules_use_existing_metrics(host: Host) -> None:
    """The agent writes each metric that a rule uses."""
    publish(host)
    text = (directory(host) / METRICS_FILE).read_text()
    names = {word for rule in rules() for word in words(rule["expr"]) if word.startswith("eks_proxy_agent_")}
    assert names
    assert {name for name in names if f"# TYPE {name} " not in text} == set()


def alerts() -> list[dict[str, Any]]:
    """The rules that are alerts, and not recording rules."""
    return [rule for rule in rules() if "alert" in rule]


def rules() -> list[dict[str, Any]]:
    """All rules."""
    import yaml

    groups = yaml.safe_load((ALERTS / "eks-proxy-agent.rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def words(expression: str) -> list[str]:
    """The names in an expression."""
    return "".join(char if char.isalnum() or char == "_" else " " for char in expression).split()


# --- helpers --------------------------------------------------------------------------------------


def samples(text: str) -> dict[str, float]:
    """Series → value, of the text format."""
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {series: float(value) for series, _, value in lines}


@contextmanager
def node_exporter(textfiles: Path) -> Iterator[Any]:
    """A node_exporter with only the textfile collector, on loopback; yields its scrape function."""
    address = "{}:{}".format(*free_port("127.0.0.1"))
    program = shutil.which("prometheus-node-exporter") or "node_exporter"
    flags = ["--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={textfiles}"]
    process = subprocess.Popen(
        [program, *flags, "--web.listen-address=" + address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def fetch() -> dict[str, float]:
        for _ in range(200):
            try:
                with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as response:
                    return samples(response.read().decode())
            except OSError:
                assert process.poll() is None, "node_exporter exited"
                time.sleep(0.05)
        raise AssertionError("node_exporter does not respond")

    try:
        yield fetch
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def broken(place: Path, trouble: str) -> Iterator[None]:
    """No directory, or one that is not writable; in /proc not even root can create files."""
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
