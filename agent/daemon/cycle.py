"""One cycle of the daemon after boot: the same reconcile again, and a check of what runs.  A process of its own, see supervisor.py."""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
import time
from collections.abc import Sequence
from functools import partial

import attrs

from agent.core.facts.instance import Facts, facts_from_json
from agent.core.plan.desired import desired_files
from agent.core.plan.drift import Memory
from agent.core.settings.schema import Settings, Watch
from agent.daemon import journal_events
from agent.daemon.boot import Daemon, after_ready, ask, bootstrap_again, degraded, one_pass
from agent.daemon.protocol import NextRun, WatchPaths
from agent.daemon.retry import AFTER_BOOT, PATIENCE, pause, spread
from agent.daemon.supervisor import Reason
from agent.edges.files import FileSystem
from agent.errors import AgentError, FileError, LockedError, MetadataError
from agent.log import get_logger
from agent.node import metrics_file, proxies, status_file
from agent.node.inputs import NODEADM_D
from agent.node.reconcile import ReconcileResult, Trigger
from agent.node.sources import CONFIG, CONFIG_D, StaticSettings
from agent.node.units import restart_stale, stale_units


def run_cycle(daemon: Daemon, reason: Reason) -> None:
    """Check once everything that may have changed, put it right, and say when to come back.

    Raises LockedError when another run does not let go of the host.
    """
    daemon = attrs.evolve(daemon, patience=PATIENCE)
    host = daemon.host
    with host.locked() as state:
        before = state.update_memory(Memory.reset) if reason is Reason.RELOAD else state.memory()
    retried = before.failures > 0
    as_at_boot = retried or reason is Reason.RELOAD
    result: ReconcileResult | None = None
    trouble: AgentError | None = None
    try:
        static = daemon.static_settings()
        facts, trouble = _facts(daemon, static)
        result = one_pass(daemon, static, facts, Trigger.DAEMON_BOOT if as_at_boot else Trigger.DAEMON_CYCLE)
        result.raise_problems()
    except LockedError:
        raise  # somebody's apply is at work, and nothing is wrong with the node
    except AgentError as error:
        trouble = error
    if trouble:
        degraded(daemon, trouble)
    settled = trouble is None
    if result and settled and (as_at_boot or _asked_for(result)):
        settled = after_ready(daemon, result)
        if retried:
            bootstrap_again(daemon)
    report(daemon, result, settled=settled)


def report(daemon: Daemon, result: ReconcileResult | None, *, settled: bool, boot: bool = False) -> None:
    """After a reconcile: how the proxies are, what is stale, what the fleet sees, which files matter, when to come back."""
    host = daemon.host
    pauses = [AFTER_BOOT] if boot else []
    stale: tuple[str, ...] | None = None
    if result:
        checked = proxies.check(host, result.resolved)
        if len(result.settings.proxy.url) > 1:  # one that is alone can be failing without haste
            pauses.append(checked.next_in)
        if checked.changed:
            result, carried_out = _change_over(daemon, result)
            settled = settled and carried_out
        stale = None if boot else _stale(daemon, result)
    journal_events.log_contested(host)
    with host.locked() as state:
        memory = state.update_memory(lambda memory: memory.record_outcome(settled=settled))
    if result and settled and (stale or memory.contested):
        daemon.say(journal_events.summary(result, stale=stale or (), contested=sorted(memory.contested)))
    watch = result.settings.watch if result else _last_watch(daemon)
    pauses.append(spread(watch.interval) if settled else pause(memory.failures, bool(memory.desired)))
    _save(daemon, watch, memory, stale, min(pauses))
    daemon.send(WatchPaths(tuple(paths(daemon, result))))
    daemon.send(NextRun(min(pauses)))


def _change_over(daemon: Daemon, before: ReconcileResult) -> tuple[ReconcileResult, bool]:
    """Take up another proxy; True if it could all be carried out, else the next cycle tries again."""
    try:
        facts = before.resolved.facts
        result = one_pass(daemon, daemon.static_settings(), facts, Trigger.DAEMON_BOOT)
        result.raise_problems()
        return result, True
    except AgentError as error:
        degraded(daemon, error)
        return before, False


def _asked_for(result: ReconcileResult) -> bool:
    """Return True if a reconcile changed more than what had drifted."""
    return set(result.plan.changes) != set(result.repaired)


def paths(daemon: Daemon, result: ReconcileResult | None) -> list[str]:
    """The files, where they are for us, of which a change is worth a turn; one that is fought over is not."""
    files, known = daemon.host.files, daemon.host.state.memory()
    settings = result.settings if result else _static(daemon)
    found = [CONFIG, CONFIG_D + "/", NODEADM_D + "/", *known.desired]
    if result:
        found += [file.path for file in desired_files(settings, result.intent, result.resolved.inputs.ca)]
    found += [path for path in (settings.proxy.credentials_file, settings.node.ca_bundle) if path.startswith("/")]
    found += [_resolved(files, path) for path in found if not path.endswith("/")]  # of a link the file is edited
    own = [os.path.abspath(daemon.sources.config)] if daemon.sources.config else []
    mine = [path for path in dict.fromkeys(found) if not {path, _resolved(files, path)} & set(known.contested)]
    return own + list(map(files.real, mine))


def _resolved(files: FileSystem, path: str) -> str:
    """The file that is meant; of a loop of links, which is a problem of the pass, the link."""
    try:
        return files.resolve(path)
    except FileError:
        return path


def _facts(daemon: Daemon, static: StaticSettings) -> tuple[Facts, AgentError | None]:
    """What the metadata service says, else what it last said since power on, and what was wrong with it."""
    try:
        return ask(daemon, static), None
    except MetadataError as error:
        instance = daemon.host.state.memory().instance
        known = daemon.host.state.cached(instance, "facts") if instance else None
        if not known:
            raise
        return facts_from_json(json.dumps(known)), error


def _stale(daemon: Daemon, result: ReconcileResult) -> tuple[str, ...] | None:
    """The units that run with an old environment, told once a change, and restarted if the owner wants that.

    None when it could not be seen.
    """
    host, settings, intent = daemon.host, result.settings, result.intent
    stale: tuple[str, ...] | None = None
    try:
        look = partial(stale_units, host, settings, intent)
        stale = look()
        if stale and intent and settings.watch.restart == "changed":
            restart_stale(host, result.resolved.facts.instance_id, intent, look, daemon.busy)
            stale = look()
    except AgentError as error:
        get_logger().error("units.failed", error=str(error))
        return stale
    what = " ".join([intent.digest(), *stale]) if intent and stale else ""
    with host.locked() as state:
        news, memory = state.memory().report_once("stale", what)
        state.update_memory(lambda _: memory)
    if news:
        meaning = "runs with an old environment; restart at a convenient time: systemctl restart " + " ".join(stale)
        get_logger().warning("units.stale", units=stale, meaning=meaning)
    return stale


def _save(daemon: Daemon, watch: Watch, known: Memory, stale: Sequence[str] | None, pause: float) -> None:
    """What status.json says beside the pass, and the metrics made of it; what is stale stays when nobody looked."""
    host = daemon.host
    with host.locked() as state:
        status = status_file.save_schedule(state, known, stale, time.time() + pause)
        if status:
            metrics_file.publish(state, host.files, watch, status)


def refused(daemon: Daemon) -> None:
    """Wrong settings end the daemon at its boot: what status.json says of that the fleet has to see too."""
    # The settings are what is reported, by whoever calls this.
    with contextlib.suppress(AgentError), daemon.host.locked() as state:
        status = state.status()
        if status:
            metrics_file.publish(state, daemon.host.files, _last_watch(daemon), status)


def _last_watch(daemon: Daemon) -> Watch:
    """While the settings cannot be read the metrics stay where they are, and before that go where the image's files say."""
    status = daemon.host.state.status()
    if status is None or status.metrics is None:
        return _static(daemon).watch
    return Watch(metrics=posixpath.dirname(status.metrics.path or ""))


def _static(daemon: Daemon) -> Settings:
    """Return the settings of the files; the defaults when they are what is wrong."""
    try:
        return daemon.static_settings().settings
    except AgentError:
        return Settings()
