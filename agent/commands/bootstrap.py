"""Command `bootstrap`: configure the node, run bootstrap.sh once, and signal CloudFormation.

If any step fails, the signal is sent with a non-zero code: a stack must not wait for its timeout.
Without bootstrap.enabled the unit only signals, see joined.py.

What is right in the settings and what is known of the instance is used, whatever else is wrong.
"""

from __future__ import annotations

import argparse
import os
import stat
from typing import Any

from agent.commands.bootstrap_inputs import BootstrapInputs, proxy_environment, read_inputs
from agent.commands.cloudformation import save_record, signal, signal_again
from agent.commands.joined import signal_when_joined
from agent.core.intent.inputs import Resolved
from agent.core.record import evolve
from agent.daemon.journal_events import log_losses
from agent.edges import command
from agent.edges.lock import BOOTSTRAP_LOCK, held
from agent.edges.signals import unwound
from agent.errors import AgentError, FileError, LockedError, as_agent_error
from agent.log import get_logger
from agent.node.host import Host, host_of, need_root
from agent.node.reconcile import Trigger, reconcile
from agent.node.sources import SettingsSources, sources_of

#: The name of the record.
_TABLE = "bootstrap"
#: Text in the bootstrap.sh of Amazon Linux 2023 images (amazon-eks-ami), which is a stub.
_STUB = b"bootstrap.sh has been removed"


def run(arguments: argparse.Namespace) -> int:
    host = host_of(arguments)
    need_root(host, "bootstrap", other_tree=False)
    log_losses(host)
    # SIGTERM, SIGHUP and SIGINT end bootstrap.sh too: otherwise it would run in parallel with the
    # next one.  CloudFormation is not signalled: the node may be rebooting, and then it runs again.
    with unwound():
        return bootstrap(host, sources_of(arguments), if_enabled=arguments.if_enabled, again=arguments.again)


def bootstrap(host: Host, sources: SettingsSources, *, if_enabled: bool = False, again: bool = False) -> int:
    """Run the steps; return the exit code of bootstrap.sh, or of the step that failed.

    If bootstrap.sh already ran on this instance, return the exit code of that run.  Raises
    LockedError if another bootstrap is running, which sends the signal itself, and AgentError if
    `if_enabled` and the settings cannot be read.  With `if_enabled` and without bootstrap.enabled,
    nothing is run, and CloudFormation is signalled when the node has joined.
    """
    inputs = read_inputs(host, evolve(sources, keep=True))
    # Not under the lock: where user data calls `bootstrap`, the disabled unit must not block it.
    if if_enabled and not inputs.settings.bootstrap.enabled:
        if inputs.failure and not inputs.is_complete:
            raise as_agent_error(inputs.failure)
        get_logger().info("bootstrap.off", reason="bootstrap.enabled is false")
        return signal_when_joined(host, sources, inputs) if inputs.settings.signal.stack else 0
    try:
        with held(host.files, BOOTSTRAP_LOCK, wait=0.0):
            return _bootstrap_locked(host, inputs, again=again)
    except LockedError:
        raise
    except Exception as error:  # noqa: BLE001 -- only the lock itself: its directory cannot be created
        return _fail(host, inputs, error)


def _bootstrap_locked(host: Host, inputs: BootstrapInputs, *, again: bool) -> int:
    try:
        static, resolved = inputs.static, inputs.resolved
        record = host.state.of_instance(resolved.facts.instance_id, "bootstrap") if resolved else None
        if resolved and record and record.get("exit_code") is not None and not again:
            return _skip(host, inputs, record)
        if static is None or resolved is None:
            raise inputs.failure or AgentError("no facts about this instance")
        result = reconcile(host, static, resolved.facts, Trigger.COMMAND)
        inputs = evolve(inputs, resolved=result.resolved)
        result.raise_unit_problems()
        for problem in result.plan.problems:
            get_logger().warning("file.failed", problem=problem)
        if result.failure:
            get_logger().warning("credentials.failed", error=str(result.failure), hint=result.failure.hint or "-")
        code = _run_once(host, result.resolved)
    except Exception as error:  # noqa: BLE001 -- any failure has to be signalled
        return _fail(host, inputs, error)
    signal(host, inputs, _TABLE, code)
    return code


def _fail(host: Host, inputs: BootstrapInputs, error: Exception) -> int:
    """Log and signal a failure; return its exit code."""
    problem = as_agent_error(error)
    get_logger().error("bootstrap.failed", error=str(problem), hint=problem.hint or "-")
    signal(host, inputs, _TABLE, problem.exit_code)
    return problem.exit_code


def _run_once(host: Host, resolved: Resolved) -> int:
    log, settings = get_logger(), resolved.settings.bootstrap
    _check_command(host, settings.command)
    log.info("bootstrap.started", command=settings.command)
    instance_id = resolved.facts.instance_id
    save_record(host, instance_id, _TABLE, {"exit_code": None, "signalled": False})
    code = command.stream(
        [host.files.real(settings.command), *settings.arguments],
        timeout=settings.timeout,
        environment=proxy_environment(resolved.intent),
    )
    save_record(host, instance_id, _TABLE, {"exit_code": code, "signalled": False})
    (log.error if code else log.info)("bootstrap.ended", exit_code=code, timed_out=code == command.TIMED_OUT)
    return code


def _skip(host: Host, inputs: BootstrapInputs, record: dict[str, Any]) -> int:
    """Return the recorded exit code; send the signal if that failed before."""
    get_logger().info(
        "bootstrap.skipped",
        reason="bootstrap.sh already ran on this instance",
        exit_code=int(record["exit_code"]),
        hint="use --again to run it again",
    )
    return signal_again(host, inputs, _TABLE, record)


def _check_command(host: Host, path: str) -> None:
    """Raise AgentError if `path` is not executable, or is the stub of Amazon Linux 2023."""
    resolved = host.files.resolve(path)
    status = host.files.status(resolved)
    if status is None or not stat.S_ISREG(status.st_mode):
        raise AgentError(f"bootstrap.command: {path} does not exist")
    real = host.files.real(resolved)
    if not os.access(real, os.X_OK):
        raise AgentError(f"bootstrap.command: {path} is not executable")
    try:
        with open(real, "rb") as file:
            is_stub = _STUB in file.read(4096)
    except OSError as error:
        raise FileError(f"bootstrap.command: {path}: cannot be read: {error.strerror}") from None
    if is_stub:
        hint = "on Amazon Linux 2023 nodeadm joins the cluster: set bootstrap.enabled = false, and put a NodeConfig into the user data"
        raise AgentError(f"bootstrap.command: {path} is the stub of Amazon Linux 2023, which always fails", hint=hint)
