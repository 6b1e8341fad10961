"""The signal to CloudFormation: cfn-signal, its retries, and the record that it was sent."""

from __future__ import annotations

import time
from typing import Any

from agent.commands.bootstrap_inputs import BootstrapInputs, proxy_environment
from agent.core.cfn_signal import refusal
from agent.core.status.timestamps import format_timestamp
from agent.edges import command
from agent.errors import AgentError, CommandError, FileError, as_agent_error
from agent.log import get_logger
from agent.node.host import Host

#: Attempts of cfn-signal, and the limit of each in seconds.
SIGNAL_TRIES, SIGNAL_TIMEOUT = 5, 60.0
#: Seconds to wait for the lock when a result is recorded: without the record bootstrap.sh would run
#: twice.
_RECORD_WAIT = 120.0
#: Record → event in the journal, if it cannot be saved.
_NOT_REMEMBERED = {"bootstrap": "bootstrap.not_remembered", "signal": "signal.not_remembered"}


class RefusedError(AgentError):
    """Signal that CloudFormation refuses for good (HTTP 400)."""


def signal(host: Host, inputs: BootstrapInputs, table: str, code: int) -> None:
    """Run cfn-signal if signal.stack is set, and note in the record `table` what became of it.

    Raises nothing: a failed signal is logged as an error, and does not change the result of the
    node.
    """
    log, settings, facts = get_logger(), inputs.settings.signal, inputs.facts
    if not settings.stack:
        return
    about = {"stack": settings.stack, "resource": settings.resource, "exit_code": code}
    outcome: dict[str, Any] = {"exit_code": code, "signalled": True}
    try:
        _run_with_retries(host, inputs, code)
    except RefusedError as error:
        log.error("signal.refused", error=str(error), hint=error.hint, **about)
        outcome.update(signalled=False, refused=str(error))
    except Exception as error:  # noqa: BLE001 -- see above
        log.error("signal.failed", error=str(as_agent_error(error)), tries=SIGNAL_TRIES, **about)
        return
    else:
        log.info("signal.sent", **about)
    try:
        record = host.state.of_instance(facts.instance_id, table) if facts else None
    except FileError as error:
        _log_not_remembered(table, error)
        return
    if facts and record and record.get("exit_code") == code:  # otherwise a step before bootstrap.sh failed
        save_record(host, facts.instance_id, table, outcome)


def signal_again(host: Host, inputs: BootstrapInputs, table: str, record: dict[str, Any]) -> int:
    """Return the recorded exit code; send the signal if that failed before."""
    code = int(record["exit_code"])
    if not (record.get("signalled") or record.get("refused")):
        signal(host, inputs, table, code)
    return code


def save_record(host: Host, instance_id: str, table: str, outcome: dict[str, Any]) -> None:
    """Save an outcome; a full disk must not turn the success of the node into a failure."""
    try:
        with host.locked(wait=_RECORD_WAIT) as state:
            record = dict(outcome, time=format_timestamp(time.time()))
            state.save_of_instance(instance_id, table, record)
    except Exception as error:  # noqa: BLE001 -- see above
        _log_not_remembered(table, error)


def _log_not_remembered(table: str, error: Exception) -> None:
    meaning = "the next boot may do this again"
    get_logger().error(_NOT_REMEMBERED[table], error=str(as_agent_error(error)), meaning=meaning)


def _run_with_retries(host: Host, inputs: BootstrapInputs, code: int) -> None:
    """Run cfn-signal until it succeeds.  Raises RefusedError, or the error of the last try."""
    import tenacity

    settings = inputs.settings.signal
    if not settings.resource:  # an empty ID is one that no stack has
        raise RefusedError("signal.resource is not set", hint="set it to the logical ID that waits for the signal")
    region = settings.region or (inputs.facts.region if inputs.facts else "")
    argv = [host.files.real(settings.command), "--exit-code", str(code), "--stack", settings.stack]
    argv += ["--resource", settings.resource]
    argv += ["--region", region] if region else []
    environment = proxy_environment(inputs.intent)
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(CommandError),
        stop=tenacity.stop_after_attempt(SIGNAL_TRIES),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=30),
        reraise=True,
    ):
        with attempt:
            _run(argv, environment)


def _run(argv: list[str], environment: dict[str, str]) -> None:
    try:
        command.run(argv, timeout=SIGNAL_TIMEOUT, environment=environment)
    except CommandError as error:
        refused = refusal(error.output)
        if refused:
            hint = "check signal.stack, signal.resource and signal.region; the stack must still wait for signals"
            raise RefusedError(refused, hint=hint) from None
        raise
