"""`bootstrap`: configure the node, run bootstrap.sh once for this instance, and tell CloudFormation how it went.

Whatever fails on the way, the signal is sent with a code that is not 0: a stack must not wait for
its time-out.
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
from agent.edges import command
from agent.edges.lock import BOOTSTRAP_LOCK, held
from agent.edges.signals import unwound
from agent.errors import AgentError
from agent.log import get_logger
from agent.node.host import Host, host_of, need_root
from agent.node.inputs import BOOT_DEADLINE, facts_of, instance_layers, load_inputs
from agent.node.reconcile import Trigger, cached_network, compose_intent, reconcile
from agent.node.sources import SettingsSources, sources_of, static_settings

#: Tries of cfn-signal, and the seconds that each may take.
SIGNAL_TRIES, SIGNAL_TIMEOUT = 5, 60.0
#: Seconds that the record of a bootstrap waits for another run: without it bootstrap.sh would run
#: twice.
_RECORD_WAIT = 120.0
#: What amazon-eks-ami's Amazon Linux 2023 images have instead of a bootstrap.sh.
_STUB = b"bootstrap.sh has been removed"


def run(arguments: argparse.Namespace) -> int:
    host = host_of(arguments)
    need_root(host, "bootstrap", other_tree=False)
    # bootstrap.sh would go on alone, and beside the next one.  The stack is told nothing: the node
    # may just be about to boot again, and then it runs once more.
    with unwound():
        return bootstrap(host, sources_of(arguments), if_enabled=arguments.if_enabled, again=arguments.again)


def bootstrap(host: Host, sources: SettingsSources, *, if_enabled: bool = False, again: bool = False) -> int:
    """Answer bootstrap.sh's exit code, that of its earlier run on this instance, or that of the step which failed.

    Raises LockedError when another bootstrap is running, and SettingsError when not even the
    signal's settings are known.
    """
    static = static_settings(host.files, attrs.evolve(sources, keep=True))
    settings = static.settings
    known_facts: Facts | None = None  # from then on the settings are this instance's
    found: Resolved | None = None
    failure: AgentError | None = None
    try:
        facts = facts_of(static, default=BOOT_DEADLINE)
        layers = instance_layers(host.state, facts.instance_id, read_user_data(facts.user_data))
        settings = static.with_instance(layers).settings  # the signal needs them, even if what they name is broken
        known_facts = facts
        inputs = load_inputs(host, static, facts)
        found = compose_intent(inputs, cached_network(host.state, inputs))
    except AgentError as error:
        failure = error
    # Before the lock: the unit of a node that bootstraps from user data must not keep the user
    # data's call out.
    if if_enabled and not settings.bootstrap.enabled:
        if failure and not known_facts:
            raise failure
        get_logger().info("bootstrap.off", reason="bootstrap.enabled is false")
        return 0
    with held(host.files, BOOTSTRAP_LOCK, wait=0.0):
        try:
            known = host.state.of_instance(found.facts.instance_id, "bootstrap") if found else None
            if found and known and known.get("exit_code") is not None and not again:
                return _already(host, found, known)
            if failure or not found:
                raise failure or AgentError("nothing is known of this instance")
            result = reconcile(host, static, found.facts, Trigger.COMMAND)
            found = result.resolved
            result.raise_problems()
            code = _run_once(host, found)
        except AgentError as error:
            get_logger().error("bootstrap.failed", error=str(error), hint=error.hint or "-")
            code = error.exit_code
        _signal(host, settings, known_facts, found, code)
        return code


def _run_once(host: Host, found: Resolved) -> int:
    log, settings = get_logger(), found.settings.bootstrap
    refuse_stub(host, settings.command)
    log.info("bootstrap.started", command=settings.command)
    _record(host, found, {"exit_code": None, "signalled": False})
    code = command.stream(
        [host.files.real(settings.command), *settings.arguments],
        timeout=settings.timeout,
        environment=_environment(found.intent),
    )
    _record(host, found, {"exit_code": code, "signalled": False})
    (log.error if code else log.info)("bootstrap.ended", exit_code=code, timed_out=code == command.TIMED_OUT)
    return code


def _already(host: Host, found: Resolved, known: dict[str, Any]) -> int:
    code = int(known["exit_code"])
    get_logger().info(
        "bootstrap.skipped", reason="it ran on this instance already", exit_code=code, way_out="--again runs it again"
    )
    if not known.get("signalled"):
        _signal(host, found.settings, found.facts, found, code)
    return code


def refuse_stub(host: Host, path: str) -> None:
    """Raise AgentError unless `path` is a program that can bootstrap: Amazon Linux 2023 carries one that only fails."""
    real = host.files.real(host.files.resolve(path))
    if not os.path.isfile(real):
        raise AgentError(f"bootstrap.command: {path} does not exist")
    if not os.access(real, os.X_OK):
        raise AgentError(f"bootstrap.command: {path} is not executable")
    with open(real, "rb") as file:
        if _STUB in file.read(4096):
            hint = "on Amazon Linux 2023 nodeadm joins the cluster: leave bootstrap.enabled off and put a NodeConfig into the user data"
            raise AgentError(f"bootstrap.command: {path} is the stub of Amazon Linux 2023, which only fails", hint=hint)


def _signal(host: Host, settings: Settings, facts: Facts | None, found: Resolved | None, code: int) -> None:
    """Run cfn-signal, if a stack is named.  A failed signal is loud, and changes nothing of the node's result."""
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
        _retried(argv, _environment(found.intent if found else _without_credentials(settings, facts)))
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
    known = host.state.of_instance(found.facts.instance_id, "bootstrap") if found else None
    if found and known and known.get("exit_code") == code:  # else it was a step before bootstrap.sh that failed
        _record(host, found, {"exit_code": code, "signalled": True})


def _retried(argv: list[str], environment: dict[str, str]) -> None:
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
    """The proxy's variables; credentials travel here and never in an argument, which every process can read."""
    return dict(intent.variables(secret=True)) if intent else {}


def _without_credentials(settings: Settings, facts: Facts | None) -> Intent | None:
    """The Intent as far as it is known when credentials or a NodeConfig are what failed."""
    return compose(settings, facts, ClusterInfo()) if facts else None


def _record(host: Host, found: Resolved, outcome: dict[str, Any]) -> None:
    """Remember; a disk that is full must not turn bootstrap.sh's success into a failure."""
    try:
        with host.locked(wait=_RECORD_WAIT) as state:
            record = dict(outcome, time=format_timestamp(time.time()))
            state.save_of_instance(found.facts.instance_id, "bootstrap", record)
    except AgentError as error:
        get_logger().error("bootstrap.not_remembered", error=str(error), meaning="it may run again at the next boot")
