"""`bootstrap` on a temporary root, with real scripts as bootstrap.sh and cfn-signal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable
from urllib.parse import quote

import pytest
import structlog
import tenacity

from agent.commands import bootstrap, bootstrap_inputs, cloudformation
from agent.commands.cloudformation import SIGNAL_TRIES
from agent.core.plan.plan import Plan
from agent.edges import command
from agent.edges.state import LockedState, State
from agent.errors import AgentError, FileError, LockedError
from agent.node.reconcile import ReconcileResult
from tests.integration.bootable import PASSWORD, STACK, Bootable
from tests.integration.command_line import FACTS, PROXY, REPOSITORY

OTHER = "i-00000000000000000"


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bootable]:
    """A node that can bootstrap; retries do not wait, and the log goes to the test's stderr."""
    monkeypatch.setattr(tenacity, "wait_random_exponential", lambda **_: tenacity.wait_none())
    structlog.reset_defaults()
    yield Bootable(tmp_path)
    structlog.reset_defaults()


# --- what is run, and how


@pytest.mark.parametrize(("then", "code"), [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137)])
def test_the_exit_code_is_returned_recorded_and_signalled(node: Bootable, then: str, code: int) -> None:
    """The exit code of bootstrap.sh is returned, recorded, and sent to CloudFormation."""
    node.script("etc/eks/bootstrap.sh", then)
    assert node.bootstrap("my-cluster") == code
    assert len(node.ran) == 1
    (call,) = node.signals
    assert call.argv == (
        ["--exit-code", str(code), "--stack", "my-stack", "--resource", "NodeGroup", "--region", "eu-central-1"]
    )
    assert node.remembered() == {"exit_code": code, "signalled": True}


def test_the_node_is_configured_first(node: Bootable) -> None:
    """When bootstrap.sh starts, the files are in place."""
    node.script("etc/eks/bootstrap.sh", f"cp {node.root}/etc/environment {node.record}/seen")
    assert node.bootstrap("my-cluster") == 0
    assert f"http_proxy={PROXY}" in (node.record / "seen").read_text().splitlines()


def test_arguments_are_passed_unchanged(node: Bootable) -> None:
    """Blanks, quotes and empty arguments reach bootstrap.sh unchanged, from settings or flags."""
    arguments = ["my-cluster", "--kubelet-extra-args", "--a=b --c='d e' $HOME", "", "ü*"]
    node.configure(f"[bootstrap]\narguments = {json.dumps(arguments)}\n")
    node.bootstrap()
    node.bootstrap("other", "--b64-cluster-ca", "LS0t", again=True)
    assert [call.argv for call in node.ran] == [arguments, ["other", "--b64-cluster-ca", "LS0t"]]


def test_the_environment_is_the_proxy_variables_only(node: Bootable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both scripts get the six variables with credentials, and none of the caller's variables."""
    for name in ("AWS_SECRET_ACCESS_KEY", "LD_PRELOAD_X", "http_proxy", "ALL_PROXY", "REQUEST_METHOD", "NOTIFY_SOCKET"):
        monkeypatch.setenv(name, "from the caller")
    node.bootstrap("my-cluster")
    expected = {**node.variables("etc/eks-proxy-agent/node.env")}
    assert expected["https_proxy"] == "http://alice:p%40ss%20w%3Ard@proxy.corp:3128"
    for call in (node.ran[0], node.signals[0]):
        assert {name: call.environment.pop(name, None) for name in expected} == expected
        assert sorted(call.environment) == ["HOME", "LANG", "PATH"]


def test_credentials_are_in_no_command_line(node: Bootable) -> None:
    """The process list never shows the password, for the agent or for the scripts."""
    node.bootstrap("my-cluster")
    for call in (node.ran[0], node.signals[0]):
        assert "my-cluster" in call.cmdline or "--exit-code" in call.cmdline
        assert not [trace for trace in ("p@ss", "p%40ss", "alice") if trace in call.cmdline]


def test_it_runs_in_the_root_directory_without_input(node: Bootable) -> None:
    """bootstrap.sh runs in / with /dev/null as its stdin."""
    node.bootstrap("my-cluster")
    assert (node.ran[0].directory, node.ran[0].stdin) == ("/", "/dev/null")


def test_its_output_is_passed_through(node: Bootable, capfd: pytest.CaptureFixture[str]) -> None:
    """The output of bootstrap.sh is passed through; the log has start and end, no credential."""
    structlog.reset_defaults()
    node.script("etc/eks/bootstrap.sh", "echo joining; echo careful >&2; exit 3")
    node.bootstrap("my-cluster")
    out, err = capfd.readouterr()
    assert out == "joining\n"
    assert "careful\n" in err
    assert "bootstrap.started command=/etc/eks/bootstrap.sh\n" in err
    assert "error: bootstrap.ended exit_code=3 timed_out=False\n" in err
    assert "signal.sent stack=my-stack resource=NodeGroup exit_code=3\n" in err
    assert "p%40ss" not in err


def test_arguments_provide_cluster_facts(node: Bootable) -> None:
    """The API server and the service CIDR of ARGS are in NO_PROXY from the first reconcile."""
    node.configure('[cluster]\nendpoint_access = "private"\n')
    node.bootstrap("c", "--apiserver-endpoint", "https://api.corp", "--service-ipv4-cidr", "10.88.0.0/16")
    assert {"api.corp", "10.88.0.0/16"} <= set(node.no_proxy())


def test_a_later_reconcile_knows_the_arguments(node: Bootable) -> None:
    """The cluster facts of ARGS stay in NO_PROXY at the next reconcile of the daemon."""
    node.configure('[cluster]\nendpoint_access = "private"\n')
    node.bootstrap("c", "--apiserver-endpoint", "https://api.corp", "--service-ipv4-cidr", "10.88.0.0/16")
    assert node.main("apply").code == 0
    assert {"api.corp", "10.88.0.0/16"} <= set(node.no_proxy())


# --- once per instance


def test_once_for_each_instance(node: Bootable) -> None:
    """A second run returns the first code and runs nothing; `again` or another instance runs it."""
    node.script("etc/eks/bootstrap.sh", "exit 7")
    assert [node.bootstrap("c"), node.bootstrap("c")] == [7, 7]
    assert (len(node.ran), len(node.signals)) == (1, 1)
    node.script("etc/eks/bootstrap.sh", "exit 0")
    assert node.bootstrap("c", again=True) == 0
    assert (len(node.ran), len(node.signals)) == (2, 2)
    node.be(instance_id=OTHER)
    assert node.bootstrap("c") == 0
    assert (len(node.ran), len(node.signals)) == (3, 3)
    assert node.remembered() == node.remembered(OTHER) == {"exit_code": 0, "signalled": True}


def test_it_is_recorded_before_it_starts(node: Bootable) -> None:
    """The record shows that bootstrap.sh is running; a run that a reboot ended is repeated."""
    path = f"{node.root}/var/lib/eks-proxy-agent/instances/{FACTS['instance_id']}/bootstrap.json"
    node.script("etc/eks/bootstrap.sh", f"cp {path} {node.record}/seen")
    node.remember(exit_code=None, signalled=False)
    assert node.bootstrap("c") == 0
    assert json.loads((node.record / "seen").read_text())["exit_code"] is None
    assert len(node.ran) == 1


def test_a_missing_signal_is_sent_later(node: Bootable) -> None:
    """If bootstrap.sh ran without a signal, the next call only signals the recorded code."""
    node.remember(exit_code=7, signalled=False)
    assert node.bootstrap("c") == 7
    assert (len(node.ran), [call.argv[1] for call in node.signals]) == (0, ["7"])
    assert node.bootstrap("c") == 7
    assert len(node.signals) == 1


def test_one_at_a_time(node: Bootable) -> None:
    """While another process bootstraps, nothing is run or signalled; the error names its pid."""
    lock = node.write("run/eks-proxy-agent/bootstrap.lock", b"%d\n" % os.getppid())
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match=f"pid {os.getppid()}") as caught:
            node.bootstrap("c")
    assert caught.value.exit_code == 75
    assert (node.ran, node.signals) == ([], [])


# --- failures


STUBBORN = "sh -c 'trap \"\" TERM; echo started > {record}/stubborn; while :; do sleep 1000; done'"


@pytest.mark.parametrize("child", ["sleep 1000", STUBBORN], ids=["usual", "ignores SIGTERM"])
def test_a_timeout_ends_the_process_group(node: Bootable, child: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After bootstrap.timeout the process group is killed, even if it ignores SIGTERM: code 124."""
    monkeypatch.setattr(command, "GRACE", 1.0)
    fifo = node.record / "alive"
    os.mkfifo(fifo)
    alive = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    node.configure("[bootstrap]\ntimeout = 0.5\n" + STACK)
    child = child.format(record=node.record)
    node.script("etc/eks/bootstrap.sh", f"echo $$ > {node.record}/group; exec 9>{fifo}; {child} & {child} & wait")
    try:
        assert node.bootstrap("c") == 124
        readable, _, _ = select.select([alive], [], [], 5)
        assert readable, "a process of bootstrap.sh's group still holds the pipe"
        assert os.read(alive, 1) == b""
    finally:
        os.close(alive)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int((node.record / "group").read_text()), signal.SIGKILL)
    assert ("stubborn" in child) == (node.record / "stubborn").exists()
    assert [call.argv[1] for call in node.signals] == ["124"]
    assert node.remembered() == {"exit_code": 124, "signalled": True}


#: Runs the command as a separate process on another tree; it has no flag for that.
COMMAND = """
import argparse, signal, sys
for number in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)  # as a shell does; the tests may run under nohup or in the background
signal.signal(signal.SIGINT, signal.default_int_handler)
from agent.__main__ import main
from agent.commands import bootstrap
from agent.node.host import host_of
root = sys.argv[1]
bootstrap.host_of = lambda arguments: host_of(argparse.Namespace(root=root))
sys.argv[1:] = ["bootstrap", "--facts", sys.argv[2], "--", "c"]
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP), (signal.SIGINT, 128 + signal.SIGINT)],
)
def test_a_termination_signal_ends_bootstrap_too(node: Bootable, number: signal.Signals, code: int) -> None:
    """bootstrap.sh is ended, CloudFormation is not signalled, and the next call runs it again.

    The process ends by the signal, so that systemd does not count it as failed: the daemon starts a
    failed unit again.
    """
    fifo = node.record / "alive"
    os.mkfifo(fifo)
    node.script("etc/eks/bootstrap.sh", f"exec 9>{fifo}; echo runs >&9; exec sleep 60")
    argv = [sys.executable, "-c", COMMAND, str(node.root), str(node.facts)]
    with subprocess.Popen(argv, cwd=REPOSITORY) as process, fifo.open() as alive:
        assert alive.readline() == "runs\n"
        process.send_signal(number)
        assert process.wait(30) == code
        assert select.select([alive], [], [], 30)[0], "bootstrap.sh still holds the pipe"
        assert alive.read() == ""
    assert (len(node.ran), node.signals) == (1, [])
    assert node.remembered() == {"exit_code": None, "signalled": False}


AL2023 = "echo '\\n!!!!!!!!!!\\nERROR: bootstrap.sh has been removed from AL2023-based EKS AMIs.' >&2; exit 1"


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (
            lambda node: node.script("etc/eks/bootstrap.sh", AL2023),
            "is the stub of Amazon Linux 2023, which always fails",
        ),
        (lambda node: (node.root / "etc/eks/bootstrap.sh").unlink(), "/etc/eks/bootstrap.sh does not exist"),
        (lambda node: (node.root / "etc/eks/bootstrap.sh").chmod(0o644), "/etc/eks/bootstrap.sh is not executable"),
        (lambda node: node.write("etc/eks/bootstrap.sh", b"echo no shebang\n", 0o755), "Exec format error"),
        (lambda node: node.write("etc/eks/bootstrap.sh", b"#!/nonexistent\n", 0o755), "No such file or directory"),
        (
            lambda node: node.write("etc/eks-proxy-agent/node.env/a-file", b""),
            "/etc/eks-proxy-agent/node.env: is a directory",
        ),
        (lambda node: node.write("etc/proxy.pass", b"", 0o600), "/etc/proxy.pass: is empty"),
    ],
    ids=["AL2023's stub", "absent", "not executable", "no shebang", "no interpreter", "node.env", "credentials"],
)
def test_a_failure_before_bootstrap_is_signalled(
    node: Bootable, capfd: pytest.CaptureFixture[str], damage: Callable[[Bootable], object], text: str
) -> None:
    """If bootstrap.sh cannot run, CloudFormation gets 1; after the repair it runs."""
    structlog.reset_defaults()
    damage(node)
    assert node.bootstrap("c") == 1
    assert node.ran == []
    assert [call.argv[1] for call in node.signals] == ["1"]
    err = capfd.readouterr().err
    assert "error: bootstrap.failed" in err
    assert text in err
    assert "Traceback" not in err
    node.script("etc/eks/bootstrap.sh", "exit 0")
    shutil.rmtree(node.root / "etc/eks-proxy-agent/node.env", ignore_errors=True)
    node.configure()
    assert node.bootstrap("c") == 0
    assert (len(node.ran), [call.argv[1] for call in node.signals]) == (1, ["1", "0"])


def test_the_stub_error_has_a_hint(node: Bootable, capfd: pytest.CaptureFixture[str]) -> None:
    """On Amazon Linux 2023 the log explains what to do instead."""
    structlog.reset_defaults()
    node.script("etc/eks/bootstrap.sh", AL2023)
    node.bootstrap("c")
    assert "on Amazon Linux 2023 nodeadm joins the cluster" in capfd.readouterr().err


def test_a_file_that_no_unit_needs_does_not_hold_up_bootstrap(
    node: Bootable, capfd: pytest.CaptureFixture[str]
) -> None:
    """bootstrap.sh has the proxy in its environment, and the log has the problem of the file."""
    structlog.reset_defaults()
    node.write("etc/environment", b"A='1\n")
    assert node.bootstrap("c") == 0
    assert (len(node.ran), [call.argv[1] for call in node.signals]) == (1, ["0"])
    assert "warning: file.failed" in capfd.readouterr().err
    assert "@proxy.corp" in node.ran[0].environment["https_proxy"]


def test_a_failure_after_an_interrupted_run_is_not_recorded(node: Bootable) -> None:
    """A failure before bootstrap.sh is signalled, but not recorded for the interrupted run."""
    node.remember(exit_code=None, signalled=False)
    node.write("etc/proxy.pass", b"", 0o600)
    assert node.bootstrap("c") == 1
    node.configure()
    assert node.bootstrap("c") == 0
    assert (len(node.ran), [call.argv[1] for call in node.signals]) == (1, ["1", "0"])


@pytest.mark.parametrize("code", ["0", [0], {}])
def test_a_corrupt_record_is_signalled_as_a_failure(
    node: Bootable, capfd: pytest.CaptureFixture[str], code: object
) -> None:
    """A record without a valid exit code does not show whether bootstrap.sh ran: 1 is signalled."""
    structlog.reset_defaults()
    node.remember(exit_code=code)
    assert node.bootstrap("c") == 1
    assert "bootstrap.json: corrupt, or written by another version" in capfd.readouterr().err
    assert node.ran == []
    assert [call.argv[1] for call in node.signals] == ["1"]


def test_a_failure_is_signalled_without_metadata(node: Bootable) -> None:
    """If the image's settings name the stack, a node without metadata signals a failure."""
    assert node.bootstrap("c", metadata=False) == 1
    node.configure(STACK + 'region = "eu-west-1"\n')
    assert node.bootstrap("c", metadata=False) == 1
    assert node.ran == []
    assert [call.argv for call in node.signals] == [
        ["--exit-code", "1", "--stack", "my-stack", "--resource", "NodeGroup"],
        ["--exit-code", "1", "--stack", "my-stack", "--resource", "NodeGroup", "--region", "eu-west-1"],
    ]


def test_wrong_settings_of_an_instance_are_signalled(node: Bootable) -> None:
    """An error in user data is signalled as 78 to the stack of the image's settings."""
    part = "Content-Type: application/x-eks-proxy-agent\n\n[node]\nyum = 1\n"
    node.be(user_data=part)
    assert node.bootstrap("c") == 78
    assert [call.argv[1] for call in node.signals] == ["78"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ("[node]\nyum = 1\n" + STACK, "node.yum: expected a boolean, got the integer 1"),
        (STACK + "region = 7\n", "signal.region: expected a string, got the integer 7"),
    ],
)
def test_wrong_settings_of_the_image_are_signalled(
    node: Bootable, capfd: pytest.CaptureFixture[str], wrong: str, text: str
) -> None:
    """An error in a file of the image is signalled as 78 to the stack that the same file names."""
    structlog.reset_defaults()
    node.configure(wrong)
    assert node.bootstrap("c") == 78
    assert (node.ran, [call.argv[1] for call in node.signals]) == ([], ["78"])
    assert node.signals[0].argv[-2:] == ["--region", "eu-central-1"]
    assert node.signals[0].environment["https_proxy"] == PROXY
    assert text in capfd.readouterr().err


def test_wrong_settings_do_not_hide_the_stack_of_user_data(node: Bootable) -> None:
    """With a file of the image that is not TOML, the user data's stack gets the signal."""
    node.settings("[proxy\n")
    node.be(user_data="Content-Type: application/x-eks-proxy-agent\n\n" + STACK)
    assert node.bootstrap("c") == 78
    assert [call.argv[1:4] for call in node.signals] == [["78", "--stack", "my-stack"]]


def test_without_a_stack_wrong_settings_only_fail(node: Bootable) -> None:
    """If the stack is what is wrong, there is none to signal."""
    node.configure("[signal]\nstack = 1\n")
    assert node.bootstrap("c") == 78
    assert (node.ran, node.signals) == ([], [])


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("read_user_data", KeyError("x")),
        ("load_inputs", MemoryError()),
        ("held", OSError(28, "No space left on device")),
        ("reconcile", RecursionError("too deep")),
        ("_check_command", KeyError("x")),
    ],
)
def test_any_exception_is_signalled(
    node: Bootable, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], step: str, error: Exception
) -> None:
    """A bug, or a system without memory, is a failure like any other: 1, in one line of the log."""
    structlog.reset_defaults()

    def fail(*arguments: object, **options: object) -> None:
        raise error

    module = bootstrap_inputs if step in ("read_user_data", "load_inputs") else bootstrap
    monkeypatch.setattr(module, step, fail)
    assert node.bootstrap("c") == 1
    assert [call.argv[1] for call in node.signals] == ["1"]
    err = capfd.readouterr().err
    assert f'error: bootstrap.failed error="{type(error).__name__}' in err.replace("=MemoryError", '="MemoryError')
    assert "test_bootstrap.py:" in err, "the origin"
    assert "Traceback" not in err


@pytest.mark.parametrize("code", [0, 7])
def test_a_result_that_cannot_be_recorded_is_signalled(
    node: Bootable, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """What bootstrap.sh returned counts, whatever the error when the state is saved."""
    node.script("etc/eks/bootstrap.sh", f"exit {code}")

    def fail(*arguments: object) -> None:
        raise ValueError

    monkeypatch.setattr(LockedState, "save_of_instance", fail)
    monkeypatch.setattr(bootstrap, "reconcile", lambda host, static, facts, trigger: configured)
    inputs = bootstrap.read_inputs(node.host, node.sources("c"))
    assert inputs.resolved is not None
    configured = ReconcileResult(inputs.resolved, Plan())
    assert node.bootstrap("c") == code
    assert [call.argv[1] for call in node.signals] == [str(code)]


def test_a_signal_whose_record_cannot_be_read_is_reported(
    node: Bootable, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It was sent, but the next boot may send it again."""
    structlog.reset_defaults()
    signalled, real = list[str](), State.of_instance

    def of_instance(state: State, instance_id: str, table: str) -> Any:
        if signalled:
            raise FileError("unreadable")
        return real(state, instance_id, table)

    run = cloudformation._run_with_retries
    monkeypatch.setattr(cloudformation, "_run_with_retries", lambda *arguments: (run(*arguments), signalled.append("")))
    monkeypatch.setattr(State, "of_instance", of_instance)
    assert node.bootstrap("c") == 0
    assert [call.argv[1] for call in node.signals] == ["0"]
    assert "error: bootstrap.not_remembered error=unreadable" in capfd.readouterr().err


def test_a_signal_that_fails_for_any_reason_keeps_the_result(
    node: Bootable, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not even a bug in the signal changes the result of bootstrap.sh."""
    structlog.reset_defaults()
    monkeypatch.setattr(tenacity, "Retrying", lambda **options: 1 / 0)
    assert node.bootstrap("c") == 0
    assert 'error: signal.failed error="ZeroDivisionError: division by zero"' in capfd.readouterr().err


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "2>&- >&- <&-"])
@pytest.mark.parametrize("code", [0, 7])
def test_a_log_that_cannot_be_written_changes_nothing(node: Bootable, redirection: str, code: int) -> None:
    """With a full or closed stderr bootstrap.sh runs, and its result is signalled."""
    node.script("etc/eks/bootstrap.sh", f"exit {code}")
    argv = [sys.executable, "-c", COMMAND, str(node.root), str(node.facts)]
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *argv], cwd=REPOSITORY, check=False, timeout=60
    )
    assert done.returncode == code
    assert (len(node.ran), [call.argv[1] for call in node.signals]) == (1, [str(code)])
    assert node.remembered() == {"exit_code": code, "signalled": True}


# --- the signal


def test_without_a_stack_nothing_is_signalled(node: Bootable) -> None:
    """Without signal.stack, cfn-signal is not run."""
    node.configure("")
    assert node.bootstrap("c") == 0
    assert node.signals == []
    assert node.remembered() == {"exit_code": 0, "signalled": False}


def test_a_failed_signal_is_retried(node: Bootable) -> None:
    """If cfn-signal fails twice and then succeeds, the signal counts as sent."""
    node.script("opt/aws/bin/cfn-signal", "[ $n = 2 ]")
    assert node.bootstrap("c") == 0
    assert len(node.signals) == 3
    assert node.remembered() == {"exit_code": 0, "signalled": True}


@pytest.mark.parametrize("code", [0, 7])
def test_a_signal_that_cannot_be_sent_keeps_the_result(
    node: Bootable, capfd: pytest.CaptureFixture[str], code: int
) -> None:
    """After the last attempt an error is logged, the result stays, the next boot signals again."""
    structlog.reset_defaults()
    node.script("etc/eks/bootstrap.sh", f"exit {code}")
    node.script("opt/aws/bin/cfn-signal", "echo 'stack is gone' >&2; exit 1")
    assert node.bootstrap("c") == code
    assert len(node.signals) == SIGNAL_TRIES
    err = capfd.readouterr().err
    assert "error: signal.failed" in err
    assert "stack is gone" in err
    assert node.remembered() == {"exit_code": code, "signalled": False}
    node.script("opt/aws/bin/cfn-signal", "exit 0")
    assert node.bootstrap("c") == code
    assert (len(node.ran), len(node.signals)) == (1, SIGNAL_TRIES + 1)
    assert node.remembered() == {"exit_code": code, "signalled": True}


@pytest.mark.parametrize("behind", [460, 470, 480])
def test_the_logged_output_of_cfn_signal_has_no_password(
    node: Bootable, capfd: pytest.CaptureFixture[str], behind: int
) -> None:
    """Only the end of its output is logged, and that may begin inside the proxy's URL."""
    structlog.reset_defaults()
    node.script("opt/aws/bin/cfn-signal", f"printf 'no way through %s%0{behind}d' $https_proxy 0 >&2; exit 1")
    node.bootstrap("c")
    err = capfd.readouterr().err
    assert "@proxy.corp:3128000" in err
    assert quote(PASSWORD)[-3:] + "@" not in err


def test_a_missing_cfn_signal_is_an_error_in_the_log(node: Bootable, capfd: pytest.CaptureFixture[str]) -> None:
    """A missing cfn-signal is logged as an error, and does not change a successful bootstrap."""
    structlog.reset_defaults()
    (node.root / "opt/aws/bin/cfn-signal").unlink()
    assert node.bootstrap("c") == 0
    assert "error: signal.failed" in capfd.readouterr().err


# --- the unit


def test_the_unit_does_nothing_unless_enabled(node: Bootable) -> None:
    """With --if-enabled and bootstrap.enabled = false, nothing is run, signalled or written.

    With signal.stack it waits for kubelet, see test_joined.py.
    """
    node.configure("")
    before = node.tree()
    assert node.bootstrap(if_enabled=True) == 0
    assert (node.ran, node.signals, node.remembered()) == ([], [], None)
    assert node.tree() == before


def test_the_unit_bootstraps_with_the_settings(node: Bootable) -> None:
    """With bootstrap.enabled = true the unit bootstraps with bootstrap.arguments."""
    node.configure('[bootstrap]\nenabled = true\narguments = ["my-cluster"]\n' + STACK)
    assert node.bootstrap(if_enabled=True) == 0
    assert [call.argv for call in node.ran] == [["my-cluster"]]
    assert len(node.signals) == 1


def test_the_unit_signals_a_failure_when_it_is_enabled(node: Bootable) -> None:
    """Without metadata, an enabled unit signals a failure; a disabled one only fails.

    The stack may not be that of a disabled unit.
    """
    with pytest.raises(AgentError, match=r"127\.0\.0\.1:1"):
        node.bootstrap(if_enabled=True, metadata=False)
    assert node.signals == []
    node.configure("[bootstrap]\nenabled = true\n" + STACK)
    assert node.bootstrap(if_enabled=True, metadata=False) == 1
    assert len(node.signals) == 1


def test_a_disabled_unit_does_not_take_the_lock(node: Bootable) -> None:
    """While user data bootstraps and holds the lock, the disabled unit exits with 0."""
    node.configure("")
    path = node.write("run/eks-proxy-agent/bootstrap.lock", b"")
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert node.bootstrap(if_enabled=True) == 0
