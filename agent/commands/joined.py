"""The signal to CloudFormation of a node that nodeadm joins to the cluster.

eks-proxy-agent-bootstrap.service waits for kubelet, which nodeadm starts after user data.
"""

from __future__ import annotations

import time
from typing import Callable

from agent.commands.bootstrap_inputs import BootstrapInputs, read_inputs
from agent.commands.cloudformation import save_record, signal, signal_again
from agent.core.status.document import DEGRADED
from agent.edges.command import TIMED_OUT
from agent.edges.lock import BOOTSTRAP_LOCK, held
from agent.errors import AgentError, FileError, LockedError
from agent.log import get_logger
from agent.node.host import Host
from agent.node.sources import SettingsSources

#: The records of this signal, and of bootstrap.sh.
_SIGNAL, _BOOTSTRAP = "signal", "bootstrap"
#: Seconds between two looks at the node.
_PAUSE = 2.0


def signal_when_joined(
    host: Host,
    sources: SettingsSources,
    inputs: BootstrapInputs,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Wait until the node has joined, or for signal.timeout; signal the result once per instance.

    Return 0, or 124 after the timeout.  If user data runs `bootstrap`, that signals its own
    result, and the result here is 0.  Raises LockedError if it still runs after the timeout.
    """
    if inputs.facts is None:
        raise inputs.failure or AgentError("no facts about this instance")
    instance_id, timeout = inputs.facts.instance_id, inputs.settings.signal.timeout
    deadline, shown = clock() + timeout, ""
    if not _is_over(host, instance_id):
        save_record(host, instance_id, _SIGNAL, {"exit_code": None, "signalled": False})
    while True:
        problem = "" if _is_over(host, instance_id) else _obstacle(host)
        is_late = clock() >= deadline
        if not problem or is_late:
            try:
                # Not while waiting: user data that calls `bootstrap` must not find it locked.
                with held(host.files, BOOTSTRAP_LOCK, wait=0.0):
                    return _finish(host, sources, inputs, instance_id, problem)
            except LockedError as error:
                if is_late:
                    raise
                problem = str(error)
        if problem != shown:
            get_logger().info("signal.waiting", reason=problem, seconds_left=round(deadline - clock()))
            shown = problem
        sleep(min(_PAUSE, max(0.0, deadline - clock())))


def _finish(host: Host, sources: SettingsSources, earlier: BootstrapInputs, instance_id: str, problem: str) -> int:
    """Record the result and signal it, unless that is done; `problem` is the one after the timeout.

    Settings and credentials are read again, as they may have changed in minutes.
    """
    inputs = read_inputs(host, sources)
    inputs = inputs if inputs.facts else earlier  # without the metadata service, user data is unknown
    for table in (_BOOTSTRAP, _SIGNAL):
        record = host.state.cached(instance_id, table)
        if record and record.get("exit_code") is not None:
            get_logger().info(
                "signal.skipped", reason="the result of this instance is known", exit_code=record["exit_code"]
            )
            code = signal_again(host, inputs, table, record)
            return 0 if table == _BOOTSTRAP else code
    code = TIMED_OUT if problem else 0
    if problem:
        hint = "journalctl --boot --unit kubelet --unit nodeadm-run; eks-proxy-agent check"
        seconds = inputs.settings.signal.timeout
        get_logger().error("signal.timed_out", reason=problem, signal_timeout=seconds, hint=hint)
    save_record(host, instance_id, _SIGNAL, {"exit_code": code, "signalled": False})
    signal(host, inputs, _SIGNAL, code)
    return code


def _is_over(host: Host, instance_id: str) -> bool:
    """Return True if this instance has a result: of an earlier boot, or of `bootstrap`.

    A corrupt record counts as none: at worst CloudFormation gets a second signal.
    """
    records = (host.state.cached(instance_id, table) for table in (_BOOTSTRAP, _SIGNAL))
    return any(record and record.get("exit_code") is not None for record in records)


def _obstacle(host: Host) -> str:
    """Return why the node has not joined yet; "" if it has.

    A node without proxy.url is as its settings say, as for bootstrap.sh.
    """
    from agent.edges.kubelet import health_problem

    try:
        document = host.state.status()
    except FileError as error:
        return str(error)
    if document is None:
        return "the node is not configured yet"
    if document.phase == DEGRADED:
        return "the node is degraded: " + (document.error or "").partition("\n")[0]
    return health_problem()
