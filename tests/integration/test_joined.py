"""The signal of a node that nodeadm joins: the bootstrap unit waits for kubelet."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import tenacity

from agent.commands import joined
from agent.commands.bootstrap_inputs import read_inputs
from agent.edges import kubelet
from agent.errors import LockedError, SettingsError
from tests.integration.bootable import STACK, Bootable
from tests.integration.command_line import FACTS, REPOSITORY
from tests.integration.daemon import wait_until
from tests.integration.test_bootstrap import COMMAND

ID = str(FACTS["instance_id"])
ARGV = ["--stack", "my-stack", "--resource", "NodeGroup", "--region", "eu-central-1"]
REFUSED = "ValidationError: Stack my-stack is in CREATE_COMPLETE state and cannot be signaled"


class Joining(Bootable):
    """A configured node whose kubelet is started by nodeadm; time passes only while it waits."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.problems = [""]
        self.now = 100.0
        self.events: list[tuple[float, str]] = []

    def health_problem(self) -> str:
        """Return the next answer of kubelet; the last one stays."""
        return self.problems.pop(0) if len(self.problems) > 1 else self.problems[0]

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def join(self) -> int:
        """Wait for the node, and signal."""
        sources = self.sources()
        inputs = read_inputs(self.host, sources)
        return joined.signal_when_joined(self.host, sources, inputs, self.wait, lambda: self.now)

    def signalled(self) -> Any:
        """Return what is recorded, without its time."""
        text = self.read(f"var/lib/eks-proxy-agent/instances/{ID}/signal.json")
        return {key: value for key, value in json.loads(text).items() if key != "time"} if text else None

    def phase(self, phase: str, error: str | None = None) -> None:
        """Let status.json have this phase."""
        path = self.root / "run/eks-proxy-agent/status.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "phase": phase, "error": error}))


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Joining]:
    """Such a node; retries of cfn-signal do not wait."""
    monkeypatch.setattr(tenacity, "wait_random_exponential", lambda **_: tenacity.wait_none())
    node = Joining(tmp_path)
    monkeypatch.setattr(kubelet, "health_problem", node.health_problem)
    assert node.main("apply").code == 0
    structlog.reset_defaults()
    yield node
    structlog.reset_defaults()


def waits(logs: list[Any]) -> list[str]:
    """Return the reasons for which the log says that it waits."""
    return [entry["reason"] for entry in logs if entry["event"] == "signal.waiting"]


# --- the wait


def test_the_unit_signals_a_node_that_has_joined(node: Joining) -> None:
    """With the proxy and its password in the environment; bootstrap.sh does not run."""
    assert node.bootstrap(if_enabled=True) == 0
    (call,) = node.signals
    assert call.argv == ["--exit-code", "0", *ARGV]
    assert call.environment["https_proxy"] == "http://alice:p%40ss%20w%3Ard@proxy.corp:3128"
    assert (node.ran, node.remembered(), node.signalled()) == ([], None, {"exit_code": 0, "signalled": True})


def test_once_for_each_instance(node: Joining) -> None:
    """A reboot sends nothing, whatever kubelet says; another instance of the image does."""
    assert [node.join(), node.join()] == [0, 0]
    node.problems = ["kubelet does not answer"]
    assert node.join() == 0
    assert len(node.signals) == 1
    node.be(instance_id="i-00000000000000000")
    node.problems = [""]
    assert node.join() == 0
    assert len(node.signals) == 2


def test_it_waits_for_the_node_and_for_kubelet(node: Joining) -> None:
    """Each reason is logged once; a node without a proxy is as its settings say."""
    status = node.root / "run/eks-proxy-agent/status.json"
    content = status.read_text()
    steps = iter(["not configured", "corrupt", "degraded", "degraded", "no kubelet", "no kubelet", "unconfigured"])

    def wait(seconds: float) -> None:
        assert seconds == 2.0
        step = next(steps)
        node.problems = ["kubelet does not answer" if step == "no kubelet" else ""]
        if step == "not configured":
            status.unlink()
            return
        status.write_text("{" if step == "corrupt" else content)
        if step in ("degraded", "unconfigured"):
            node.phase(step, "no response\nmore" if step == "degraded" else None)

    node.problems = ["kubelet does not answer"]
    node.wait = wait  # type: ignore[method-assign]
    with structlog.testing.capture_logs() as logs:
        assert node.join() == 0
    assert next(steps, None) is None
    reasons = waits(logs)
    assert reasons.pop(2).startswith("/run/eks-proxy-agent/status.json: corrupt")
    assert reasons == [
        "kubelet does not answer",
        "the node is not configured yet",
        "the node is degraded: no response",
        "kubelet does not answer",
    ]
    assert len(node.signals) == 1


def test_status_says_that_it_waits(node: Joining) -> None:
    """A node that reboots meanwhile waits again, for the whole time."""
    shown: list[Any] = []

    def wait(seconds: float) -> None:
        shown.append(node.main("status").out)
        raise KeyboardInterrupt

    node.problems, node.wait = ["kubelet does not answer"], wait  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        node.join()
    assert "signal     waiting for kubelet\n" in shown[0]
    assert (node.signals, node.signalled()) == ([], {"exit_code": None, "signalled": False})
    node.problems = [""]
    assert node.join() == 0
    assert "signal     kubelet is healthy, just now; cfn-signal sent\n" in node.main("status").out


@pytest.mark.parametrize(("setting", "seconds"), [("", 900.0), ("timeout = 5\n", 5.0)])
def test_a_timeout_is_signalled_as_a_failure(node: Joining, setting: str, seconds: float) -> None:
    """With exit code 124, once; the log has the last reason."""
    node.configure(STACK + setting)
    node.problems = ["kubelet does not answer"]
    with structlog.testing.capture_logs() as logs:
        assert [node.join(), node.join()] == [124, 124]
    assert node.now == 100 + seconds
    assert [call.argv for call in node.signals] == [["--exit-code", "124", *ARGV]]
    assert node.signalled() == {"exit_code": 124, "signalled": True}
    (error,) = [entry for entry in logs if entry["event"] == "signal.timed_out"]
    assert (error["reason"], error["log_level"]) == ("kubelet does not answer", "error")
    assert "signal     kubelet was not healthy in time" in node.main("status").out


def test_sigterm_ends_the_wait(node: Joining) -> None:
    """CloudFormation is not signalled: the node may be rebooting, and then it waits again."""
    command = COMMAND.replace('"--", "c"', '"--if-enabled"')
    argv = [sys.executable, "-c", command, str(node.root), str(node.facts)]
    with subprocess.Popen(argv, cwd=REPOSITORY) as process:
        wait_until("the wait", lambda: node.signalled() is not None)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM
    assert (node.signals, node.signalled()) == ([], {"exit_code": None, "signalled": False})


# --- the signal


def test_a_signal_that_was_not_sent_is_sent_at_the_next_boot(node: Joining) -> None:
    """The node is well, so the result is 0."""
    node.script("opt/aws/bin/cfn-signal", "echo 'no route to host' >&2; exit 1")
    assert node.join() == 0
    assert node.signalled() == {"exit_code": 0, "signalled": False}
    assert "cfn-signal not sent" in node.main("status").out
    node.script("opt/aws/bin/cfn-signal", "exit 0")
    node.problems = ["kubelet does not answer"]
    assert node.join() == 0
    assert node.signals[-1].argv == ["--exit-code", "0", *ARGV]
    assert node.signalled() == {"exit_code": 0, "signalled": True}


@pytest.mark.parametrize("enabled", [False, True], ids=["nodeadm", "bootstrap.sh"])
def test_http_400_is_final(node: Joining, enabled: bool) -> None:
    """CloudFormation would refuse it again: one try, and none at the next boot; status shows it."""
    node.configure(f"[bootstrap]\nenabled = {str(enabled).lower()}\n" + STACK)
    node.script("opt/aws/bin/cfn-signal", f"echo '{REFUSED}' >&2; exit 1")
    with structlog.testing.capture_logs() as logs:
        assert [node.bootstrap(if_enabled=True), node.bootstrap(if_enabled=True)] == [0, 0]
    assert len(node.signals) == 1
    (error,) = [entry for entry in logs if entry["event"] == "signal.refused"]
    assert (error["error"], error["log_level"]) == (REFUSED, "error")
    record = node.remembered() if enabled else node.signalled()
    assert record == {"exit_code": 0, "signalled": False, "refused": REFUSED}
    screen = node.main("status").out
    assert "cfn-signal refused\n" in screen
    assert f"CloudFormation refused the signal ({REFUSED}). Check signal.stack and signal.resource: " in screen
    assert json.loads(node.main("status", "--json").out)["bootstrap" if enabled else "signal"]["refused"] == REFUSED


def test_throttling_is_not_final(node: Joining) -> None:
    """It is HTTP 400 too, but passes."""
    node.script("opt/aws/bin/cfn-signal", "[ $n = 2 ] || { echo 'Throttling: Rate exceeded' >&2; exit 1; }")
    assert node.join() == 0
    assert (len(node.signals), node.signalled()["signalled"]) == (3, True)


def test_settings_are_read_again_for_the_signal(node: Joining) -> None:
    """The password of the proxy may have changed meanwhile."""

    def wait(seconds: float) -> None:
        node.write("etc/proxy.pass", b"bob:new\n", 0o600)
        node.problems = [""]

    node.problems, node.wait = ["kubelet does not answer"], wait  # type: ignore[method-assign]
    assert node.join() == 0
    assert node.signals[0].environment["https_proxy"] == "http://bob:new@proxy.corp:3128"


def test_a_stack_of_user_data_is_signalled_without_metadata(node: Joining) -> None:
    """If the metadata service is silent at the end, what it said at first counts."""
    node.configure("")
    node.be(user_data="Content-Type: application/x-eks-proxy-agent\n\n" + STACK)

    def wait(seconds: float) -> None:
        node.facts.unlink()
        node.problems = [""]

    node.problems, node.wait = ["kubelet does not answer"], wait  # type: ignore[method-assign]
    assert node.join() == 0
    assert [call.argv for call in node.signals] == [["--exit-code", "0", *ARGV]]


@pytest.mark.parametrize("name", ["signal", "bootstrap"])
def test_a_corrupt_record_is_as_good_as_none(node: Joining, name: str) -> None:
    """A stack that waits in vain is worse than a second signal."""
    node.write(f"var/lib/eks-proxy-agent/instances/{ID}/{name}.json", b"{")
    assert node.join() == 0
    assert [call.argv for call in node.signals] == [["--exit-code", "0", *ARGV]]
    assert node.signalled() == {"exit_code": 0, "signalled": True}


# --- beside `bootstrap` of user data


def test_bootstrap_of_user_data_signals_itself(node: Joining) -> None:
    """The unit sends nothing then, whatever kubelet says; a signal that failed it sends again."""
    node.script("etc/eks/bootstrap.sh", "exit 7")
    node.problems = ["kubelet does not answer"]

    def wait(seconds: float) -> None:
        assert node.bootstrap("c") == 7

    node.wait = wait  # type: ignore[method-assign]
    assert node.join() == 0
    assert [call.argv[1] for call in node.signals] == ["7"]
    node.remember(exit_code=7, signalled=False)
    assert node.join() == 0
    assert [call.argv[1] for call in node.signals] == ["7", "7"]


@pytest.mark.parametrize("problem", ["", "kubelet does not answer"])
def test_a_bootstrap_that_runs_is_waited_for(node: Joining, problem: str) -> None:
    """kubelet may be healthy before bootstrap.sh ends; that run sends the signal itself."""
    node.problems = [problem]
    with node.write("run/eks-proxy-agent/bootstrap.lock", b"4711\n").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with structlog.testing.capture_logs() as logs, pytest.raises(LockedError, match="4711"):
            node.join()
    assert node.now == 1000
    assert node.signals == []
    assert "4711" in waits(logs)[0] if not problem else waits(logs) == [problem]


# --- settings


def test_without_a_stack_nothing_waits(node: Joining) -> None:
    """No signal, no record."""
    node.configure("")
    node.problems = ["kubelet does not answer"]
    assert node.bootstrap(if_enabled=True) == 0
    assert (node.signals, node.signalled()) == ([], None)


def test_a_stack_requires_a_resource(node: Joining, capfd: pytest.CaptureFixture[str]) -> None:
    """It is an error of the settings with file and line; an empty ID is never sent."""
    node.configure('[signal]\nstack = "my-stack"\n')
    text = "/etc/eks-proxy-agent/config.toml, line 5: signal.stack: requires signal.resource (allowed: a logical resource ID)"
    with pytest.raises(SettingsError) as caught:
        node.bootstrap(if_enabled=True)
    assert str(caught.value) == text
    for command in ("config check", "plan", "apply"):
        done = node.main(command)
        assert (done.code, text in done.err) == (78, True)
    assert node.main("config check", facts=False).code == 78
    node.configure('[bootstrap]\nenabled = true\n[signal]\nstack = "my-stack"\n')
    assert node.bootstrap(if_enabled=True) == 78
    assert (node.ran, node.signals) == ([], [])
    assert 'error: signal.refused error="signal.resource is not set"' in capfd.readouterr().err


@pytest.mark.parametrize("layer", ["config.d", "user data", "flag"])
def test_another_layer_may_set_the_resource(node: Joining, layer: str) -> None:
    """Only all layers together can lack it."""
    node.configure('[signal]\nstack = "my-stack"\n')
    resource = '[signal]\nresource = "NodeGroup"\n'
    flags = ("--set", "signal.resource=NodeGroup") if layer == "flag" else ()
    if layer == "config.d":
        node.settings(resource, "config.d/50-stack.toml")
    if layer == "user data":
        node.be(user_data="Content-Type: application/x-eks-proxy-agent\n\n" + resource)
    assert node.main("config check", *flags).code == 0
    assert node.main("apply", *flags).code == 0
