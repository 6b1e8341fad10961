"""Command `bootstrap`: configure the node, run bootstrap.sh once, and signal CloudFormation.

If any step fails, the signal is sent with a non-zero code: a stack must not wait for its timeout.
So what is right in the settings and what is known of the instance is used, whatever else is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
import time
from typing import Any

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import Facts
from agent.core.intent.inputs import Resolved
from agent.core.intent.intent import Intent, compose
from agent.core.record import evolve, record
from agent.core.settings.layers import Layer, Layered
from agent.core.settings.schema import Settings
from agent.core.settings.user_data import read_user_data
from agent.core.status.timestamps import format_timestamp
from agent.daemon.journal_events import log_losses
from agent.edges import command
from agent.edges.lock import BOOTSTRAP_LOCK, held
from agent.edges.signals import unwound
from agent.errors import AgentError, FileError, LockedError, as_agent_error
from agent.log import get_logger
from agent.node.budget import boot_budget
from agent.node.host import Host, host_of, need_root
from agent.node.inputs import facts_of, instance_layers, load_inputs
from agent.node.reconcile import Trigger, cached_network, compose_intent, reconcile
from agent.node.sources import SettingsSources, StaticSettings, sources_of, static_settings, usable_settings

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
    LockedError if another bootstrap is running, which sends the signal itself, and AgentError if
    `if_enabled` and the settings cannot be read.
    """
    inputs = _read_inputs(host, evolve(sources, keep=True))
    # Not under the lock: where user data calls `bootstrap`, the disabled unit must not block it.
    if if_enabled and not inputs.settings.bootstrap.enabled:
        if inputs.failure and not inputs.is_complete:
            raise as_agent_error(inputs.failure)
        get_logger().info("bootstrap.off", reason="bootstrap.enabled is false")
        return 0
    try:
        with held(host.files, BOOTSTRAP_LOCK, wait=0.0):
            return _bootstrap_locked(host, inputs, again=again)
    except LockedError:
        raise
    except Exception as error:  # noqa: BLE001 -- only the lock itself: its directory cannot be created
        return _fail(host, inputs, error)


@record
class _BootstrapInputs:
    """All that bootstrap.sh and the signal depend on, as far as it can be read.

    `settings` have defaults in the place of what is wrong, and `is_complete` if that is nothing.
    `failure` is the first error; without one nothing is None.
    """

    settings: Settings
    static: StaticSettings | None = None
    facts: Facts | None = None
    resolved: Resolved | None = None
    is_complete: bool = False
    failure: Exception | None = None


def _read_inputs(host: Host, sources: SettingsSources) -> _BootstrapInputs:
    """Read settings, facts and user data; an error ends the reading only of what depends on it."""
    inputs = _BootstrapInputs(usable_settings(host.files, sources))
    try:
        inputs = evolve(inputs, static=static_settings(host.files, sources))
    except Exception as error:  # noqa: BLE001 -- any failure has to be signalled
        inputs = evolve(inputs, failure=error)
    settings = inputs.settings
    static = inputs.static or StaticSettings(sources, (), Layer("flags", {}), Layered(settings))
    try:
        deadline, names_proxy = settings.metadata.deadline, bool(settings.proxy.url)
        facts = facts_of(static, boot_budget(deadline, names_proxy=names_proxy))
        inputs = evolve(inputs, facts=facts)
        layers = instance_layers(host.state, facts.instance_id, read_user_data(facts.user_data))
        inputs = evolve(inputs, settings=usable_settings(host.files, sources, layers))
        if inputs.static is None:
            return inputs
        inputs = evolve(inputs, settings=static.with_instance(layers).settings, is_complete=True)
        loaded = load_inputs(host, static, facts)
        return evolve(inputs, resolved=compose_intent(loaded, cached_network(host.state, loaded)))
    except Exception as error:  # noqa: BLE001 -- the same
        return evolve(inputs, failure=inputs.failure or error)


def _bootstrap_locked(host: Host, inputs: _BootstrapInputs, *, again: bool) -> int:
    try:
        static, resolved = inputs.static, inputs.resolved
        record = host.state.of_instance(resolved.facts.instance_id, "bootstrap") if resolved else None
        if resolved and record and record.get("exit_code") is not None and not again:
            return _skip(host, resolved, record)
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
    _signal(host, inputs.settings, inputs.facts, inputs.resolved, code)
    return code


def _fail(host: Host, inputs: _BootstrapInputs, error: Exception) -> int:
    """Log and signal a failure; return its exit code."""
    problem = as_agent_error(error)
    get_logger().error("bootstrap.failed", error=str(problem), hint=problem.hint or "-")
    _signal(host, inputs.settings, inputs.facts, inputs.resolved, problem.exit_code)
    return problem.exit_code


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


def _signal(host: Host, settings: Settings, facts: Facts | None, resolved: Resolved | None, code: int) -> None:
    """Run cfn-signal if signal.stack is set; raises nothing.

    A failed signal is logged as an error, and does not change the result of the node.
    """
    log, signal = get_logger(), settings.signal
    if not signal.stack:
        return
    region = signal.region or (facts.region if facts else "")
    argv = [host.files.real(signal.command), "--exit-code", str(code), "--stack", signal.stack]
    argv += ["--resource", signal.resource]
    argv += ["--region", region] if region else []
    about = {"stack": signal.stack, "resource": signal.resource, "exit_code": code}
    try:
        intent = resolved.intent if resolved else _without_credentials(settings, facts)
        _run_with_retries(argv, _environment(intent))
    except Exception as error:  # noqa: BLE001 -- see above
        log.error("signal.failed", error=str(as_agent_error(error)), tries=SIGNAL_TRIES, **about)
        return
    log.info("signal.sent", **about)
    with contextlib.suppress(FileError):
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
    try:
        return compose(settings, facts, ClusterInfo()) if facts else None
    except Exception:  # noqa: BLE001 -- a signal without the proxy may still arrive
        return None


def _record(host: Host, resolved: Resolved, outcome: dict[str, Any]) -> None:
    """Save the outcome; a full disk must not turn the success of bootstrap.sh into a failure."""
    try:
        with host.locked(wait=_RECORD_WAIT) as state:
            record = dict(outcome, time=format_timestamp(time.time()))
            state.save_of_instance(resolved.facts.instance_id, "bootstrap", record)
    except Exception as error:  # noqa: BLE001 -- see above
        text, meaning = str(as_agent_error(error)), "bootstrap.sh may run again at the next boot"
        get_logger().error("bootstrap.not_remembered", error=text, meaning=meaning)
