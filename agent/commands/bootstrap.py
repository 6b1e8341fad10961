"""Command `bootstrap`: configure the node, run bootstrap.sh once, and signal CloudFormation.

If any step fails, the signal is sent with a non-zero code: a stack must not wait for its timeout.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import attrs

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import Facts
from agent.core.intent.inputs import Resolved
from agent.core.intent.intent import Intent, compose
from agent.core.settings.schema import Settings
from agent.core.settings.user_data import read_user_data
from agent.core.status.timestamps import format_timestamp
from agent.daemon.journal_events import log_losses
from agent.edges import command
from agent.edges.lock import BOOTSTRAP_LOCK, held
from agent.edges.signals import unwound
from agent.errors import AgentError
from agent.log import get_logger
from agent.node.host import Host, host_of, need_root
from agent.node.inputs import BOOT_DEADLINE, facts_of, instance_layers, load_inputs
from agent.node.reconcile import Trigger, cached_network, compose_intent, reconcile
from agent.node.sources import SettingsSources, sources_of, static_settings

#: Attempts of cfn-signal, and the limit of each in seconds.
SIGNAL_TRIES, SIGNAL_TIMEOUT = 5, 60.0
#: Seconds to wait for the lock when the result is recorded: without the record bootstrap.sh would
#: run twice.
_RECORD_WAIT = 120.0
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
    LockedError if another bootstrap is running, and SettingsError if the settings of the signal
    cannot be read.
    """
    static = static_settings(host.files, attrs.evolve(sources, keep=True))
    settings = static.settings
    instance_facts: Facts | None = None  # if set, `settings` include those of this instance
    resolved: Resolved | None = None
    failure: AgentError | None = None
    try:
        facts = facts_of(static, default=BOOT_DEADLINE)
        layers = instance_layers(host.state, facts.instance_id, read_user_data(facts.user_data))
        settings = static.with_instance(layers).settings  # needed for the signal, even if load_inputs fails
        instance_facts = facts
        inputs = load_inputs(host, static, facts)
        resolved = compose_intent(inputs, cached_network(host.state, inputs))
    except AgentError as error:
        failure = error
    # Not under the lock: where user data calls `bootstrap`, the disabled unit must not block it.
    if if_enabled and not settings.bootstrap.enabled:
        if failure and not instance_facts:
            raise failure
        get_logger().info("bootstrap.off", reason="bootstrap.enabled is false")
        return 0
    with held(host.files, BOOTSTRAP_LOCK, wait=0.0):
        try:
            record = host.state.of_instance(resolved.facts.instance_id, "bootstrap") if resolved else None
            if resolved and record and record.get("exit_code") is not None and not again:
                return _skip(host, resolved, record)
            if failure or not resolved:
                raise failure or AgentError("no facts about this instance")
            result = reconcile(host, static, resolved.facts, Trigger.COMMAND)
            resolved = result.resolved
            result.raise_unit_problems()
            for problem in result.plan.problems:
                get_logger().warning("file.failed", problem=problem)
            code = _run_once(host, resolved)
        except AgentError as error:
            get_logger().error("bootstrap.failed", error=str(error), hint=error.hint or "-")
            code = error.exit_code
        _signal(host, settings, instance_facts, resolved, code)
        return code


def _run_once(host: Host, resolved: Resolved) -> int:
    log, settings = get_logger(), resolved.settings.bootstrap
    _check_command(host, settings.command)
    log.info("bootstrap.started", command=settings.command)
    _record(host, resolved, {"exit_code": None, "signalled": False})
    code = command.stream(
        [host.files.real(settings.command), *settings.arguments],
        timeout=settings.timeout,
        environment=_environment(resolved.intent),
    )
    _record(host, resolved, {"exit_code": code, "signalled": False})
    (log.error if code else log.info)("bootstrap.ended", exit_code=code, timed_out=code == command.TIMED_OUT)
    return code


def _skip(host: Host, resolved: Resolved, record: dict[str, Any]) -> int:
    """Return the recorded exit code; send the signal if that failed before."""
    code = int(record["exit_code"])
    get_logger().info(
        "bootstrap.skipped",
        reason="bootstrap.sh already ran on this instance",
        exit_code=code,
        hint="use --again to run it again",
    )
    if not record.get("signalled"):
        _signal(host, resolved.settings, resolved.facts, resolved, code)
    return code


def _check_command(host: Host, path: str) -> None:
    """Raise AgentError if `path` is not executable, or is the stub of Amazon Linux 2023."""
    real = host.files.real(host.files.resolve(path))
    if not os.path.isfile(real):
        raise AgentError(f"bootstrap.command: {path} does not exist")
    if not os.access(real, os.X_OK):
        raise AgentError(f"bootstrap.command: {path} is not executable")
    with open(real, "rb") as file:
        if _STUB in file.read(4096):
            hint = "on Amazon Linux 2023 nodeadm joins the cluster: set bootstrap.enabled = false, and put a NodeConfig into the user data"
            raise AgentError(
                f"bootstrap.command: {path} is the stub of Amazon Linux 2023, which always fails", hint=hint
            )


def _signal(host: Host, settings: Settings, facts: Facts | None, resolved: Resolved | None, code: int) -> None:
    """Run cfn-signal if signal.stack is set.

    A failed signal is logged as an error, and does not change the result of the node.
    """
    log, signal = get_logger(), settings.signal
    if not signal.stack:
        return
    region = signal.region or (facts.region if facts else "")
    argv = [
        host.files.real(signal.command),
        "--exit-code",
        str(code),
        "--stack",
        signal.stack,
        "--resource",
        signal.resource,
    ]
    argv += ["--region", region] if region else []
    try:
        _run_with_retries(argv, _environment(resolved.intent if resolved else _without_credentials(settings, facts)))
    except AgentError as error:
        log.error(
            "signal.failed",
            error=str(error),
            tries=SIGNAL_TRIES,
            stack=signal.stack,
            resource=signal.resource,
            exit_code=code,
        )
        return
    log.info("signal.sent", stack=signal.stack, resource=signal.resource, exit_code=code)
    record = host.state.of_instance(resolved.facts.instance_id, "bootstrap") if resolved else None
    if resolved and record and record.get("exit_code") == code:  # otherwise a step before bootstrap.sh failed
        _record(host, resolved, {"exit_code": code, "signalled": True})


def _run_with_retries(argv: list[str], environment: dict[str, str]) -> None:
    import tenacity

    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(AgentError),
        stop=tenacity.stop_after_attempt(SIGNAL_TRIES),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=30),
        reraise=True,
    ):
        with attempt:
            command.run(argv, timeout=SIGNAL_TIMEOUT, environment=environment)


def _environment(intent: Intent | None) -> dict[str, str]:
    """Return the proxy variables.

    Credentials are passed here and never as an argument, which every process can read.
    """
    return dict(intent.variables(secret=True)) if intent else {}


def _without_credentials(settings: Settings, facts: Facts | None) -> Intent | None:
    """Return the Intent that can be composed if the credentials or a NodeConfig cannot be read."""
    return compose(settings, facts, ClusterInfo()) if facts else None


def _record(host: Host, resolved: Resolved, outcome: dict[str, Any]) -> None:
    """Save the outcome; a full disk must not turn the success of bootstrap.sh into a failure."""
    try:
        with host.locked(wait=_RECORD_WAIT) as state:
            record = dict(outcome, time=format_timestamp(time.time()))
            state.save_of_instance(resolved.facts.instance_id, "bootstrap", record)
    except AgentError as error:
        get_logger().error(
            "bootstrap.not_remembered", error=str(error), meaning="bootstrap.sh may run again at the next boot"
        )
