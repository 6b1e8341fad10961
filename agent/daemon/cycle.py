"""One turn of the daemon after boot: the same pass again, and a look at what runs.  A process of its own, see watch.py."""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
import random
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import attrs

from agent.core.facts.instance import Facts, facts_from_json
from agent.core.plan.desired import targets
from agent.core.plan.drift import Memory
from agent.core.settings.schema import Settings, Watch
from agent.daemon import journal_events
from agent.daemon.boot import Daemon, after_ready, ask, bootstrap_again, degraded, one_pass
from agent.daemon.supervisor import RELOAD
from agent.edges.clock import moment
from agent.edges.files import FileSystem
from agent.edges.lock import held
from agent.errors import AgentError, FileError, LockedError, MetadataError
from agent.log import get_logger
from agent.node import memory, metrics_file, proxies
from agent.node.inputs import NODEADM_D
from agent.node.reconcile import ReconcileResult, stale_units
from agent.node.sources import CONFIG, CONFIG_D, baked
from agent.node.units import restart_stale

#: Seconds between the tries of a degraded node: the first pause, the longest, and the longest once it was configured.
RETRY_FIRST, RETRY_LONGEST, RETRY_CONFIGURED = 2.0, 60.0, 300.0
#: Seconds until a turn comes again that another run did not let through.
POSTPONED = 10.0
#: Seconds that a turn asks for metadata, and from the boot to the first turn, which looks at what has started since.
PATIENCE, FIRST = 2.0, 60.0


def turn(daemon: Daemon, reason: str) -> None:
    """Look once at everything that may have changed, put it right, and say when to come back.

    Raises LockedError when another run does not let go of the machine.
    """
    daemon = attrs.evolve(daemon, patience=PATIENCE)
    host = daemon.host
    before = memory.change(host, Memory.reset) if reason == RELOAD else host.state.memory()
    retried = before.failures > 0
    done: ReconcileResult | None = None
    trouble: AgentError | None = None
    try:
        facts, trouble = _facts(daemon)
        done = one_pass(daemon, facts, units=retried or reason == RELOAD)
        done.raise_problems()
    except LockedError:
        raise  # somebody's apply is at work, and nothing is wrong with the node
    except AgentError as error:
        trouble = error
    if trouble:
        degraded(daemon, trouble, _policy(daemon, done))
    settled = trouble is None
    if done and settled and (retried or reason == RELOAD or _asked_for(done)):
        settled = after_ready(daemon, done)
        if retried:
            bootstrap_again(daemon)
    report(daemon, done, settled=settled)


def report(daemon: Daemon, done: ReconcileResult | None, *, settled: bool, boot: bool = False) -> None:
    """After a pass: how the proxies are, what is stale, what the fleet sees, which files matter and when to come back."""
    host = daemon.host
    pauses = [FIRST] if boot else []
    stale: tuple[str, ...] | None = None
    if done:
        look = proxies.look(host, daemon.sources, done.discovered)
        if len(done.discovered.settings.proxy.url) > 1:  # one that is alone can be failing without haste
            pauses.append(look.next_in)
        if look.changed:
            done, carried_out = _change_over(daemon, done)
            settled = settled and carried_out
        stale = None if boot else _stale(daemon, done)
    journal_events.log_contested(host)
    known = memory.change(host, lambda known: known.counted(settled=settled))
    if done and settled and (stale or known.contested):
        daemon.say(journal_events.summary(done, stale=stale or (), contested=sorted(known.contested)))
    watch = done.discovered.settings.watch if done else _last_watch(daemon)
    pauses.append(watch.interval * random.uniform(0.9, 1.1) if settled else pause(known.failures, bool(known.desired)))
    _save(daemon, watch, known, stale, min(pauses))
    daemon.notify("\n".join(["WATCH=" + path for path in paths(daemon, done)] + [f"NEXT={min(pauses):g}"]))


def _change_over(daemon: Daemon, done: ReconcileResult) -> tuple[ReconcileResult, bool]:
    """The pass that takes up another proxy, and whether it could all be carried out; else the next turn tries again."""
    try:
        done = one_pass(daemon, done.discovered.facts)
        done.raise_problems()
        return done, True
    except AgentError as error:
        degraded(daemon, error, _policy(daemon, done))
        return done, False


def _asked_for(done: ReconcileResult) -> bool:
    """Whether a pass changed more than what had drifted."""
    return set(done.plan.changes) != set(done.repaired)


def pause(failures: int, configured: bool) -> float:
    """Seconds until a degraded node tries again, with jitter, because the nodes of a group degrade together."""
    longest = RETRY_CONFIGURED if configured else RETRY_LONGEST
    return min(RETRY_FIRST * random.uniform(1.6, 1.9) ** min(failures, 20), longest)


def paths(daemon: Daemon, done: ReconcileResult | None) -> list[str]:
    """The files, where they are for us, of which a change is worth a turn; one that is fought over is not."""
    files, known = daemon.host.files, daemon.host.state.memory()
    settings = done.discovered.settings if done else _baked(daemon)
    found = [CONFIG, CONFIG_D + "/", NODEADM_D + "/", *known.desired]
    if done:
        found += [target.path for target in targets(settings, done.discovered.intent, done.discovered.ca)]
    found += [path for path in (settings.proxy.credentials_file, settings.node.ca_bundle) if path.startswith("/")]
    found += [_resolved(files, path) for path in found if not path.endswith("/")]  # of a link the file is edited
    own = [os.path.abspath(daemon.sources.config)] if daemon.sources.config else []
    mine = [path for path in dict.fromkeys(found) if not {path, _resolved(files, path)} & set(known.contested)]
    # One a line on the way to the process that waits: a strange name, which only a link can have, is left out.
    return [path for path in own + list(map(files.real, mine)) if path.isprintable()]


def _resolved(files: FileSystem, path: str) -> str:
    """The file that is meant; of a loop of links, which is a problem of the pass, the link."""
    try:
        return files.resolve(path)
    except FileError:
        return path


def _facts(daemon: Daemon) -> tuple[Facts, AgentError | None]:
    """What the metadata service says, else what it last said since power on, and what was wrong with it."""
    try:
        return ask(daemon), None
    except MetadataError as error:
        instance = daemon.host.state.memory().instance
        known = daemon.host.state.learned(instance, "facts") if instance else None
        if not known:
            raise
        return facts_from_json(json.dumps(known)), error


def _stale(daemon: Daemon, done: ReconcileResult) -> tuple[str, ...] | None:
    """The units that run with an old environment, told once a change, and restarted if the owner wants that.

    None when it could not be seen.
    """
    host, settings, intent = daemon.host, done.discovered.settings, done.discovered.intent
    stale: tuple[str, ...] | None = None
    try:
        look = partial(stale_units, host, settings, intent)
        stale = look()
        if stale and intent and settings.watch.restart == "changed":
            restart_stale(host, done.discovered.facts.instance_id, intent, look, daemon.notify)
            stale = look()
    except AgentError as error:
        get_logger().error("units.failed", error=str(error))
        return stale
    what = " ".join([intent.digest(), *stale]) if intent and stale else ""
    if memory.ask(host, lambda known: known.says("stale", what)):
        meaning = "runs with an old environment until it is restarted: systemctl restart " + " ".join(stale)
        get_logger().warning("units.stale", units=stale, meaning=meaning)
    return stale


def _save(daemon: Daemon, watch: Watch, known: Memory, stale: Sequence[str] | None, pause: float) -> None:
    """What status.json says beside the pass, and the metrics made of it; what is stale stays when nobody looked."""
    host = daemon.host
    with held(host.files):
        status: dict[str, Any] = {
            "stale_units": [],  # at power on there is nothing yet that could be
            **(host.state.status() or {}),
            **({} if stale is None else {"stale_units": list(stale)}),
            "repairs": {"total": known.total, "fought": sorted(known.contested)},
            "next_pass": moment(time.time() + pause),
        }
        host.state.save_status(status)
    metrics_file.publish(host, Settings(watch=watch), status)


def refused(daemon: Daemon) -> None:
    """Wrong settings end the daemon at its boot: what status.json says of that the fleet has to see too."""
    with contextlib.suppress(AgentError):  # the settings are what is told of, by whoever calls this
        status = daemon.host.state.status()
        if status:
            metrics_file.publish(daemon.host, Settings(watch=_last_watch(daemon)), status)


def _policy(daemon: Daemon, done: ReconcileResult | None) -> str:
    return (done.discovered.settings if done else _baked(daemon)).failure.policy


def _last_watch(daemon: Daemon) -> Watch:
    """While the settings cannot be read the metrics stay where they are, and before that go where the image's files say."""
    known = (daemon.host.state.status() or {}).get("metrics")
    if not known:
        return _baked(daemon).watch
    return Watch(metrics=posixpath.dirname(known["path"]) if known["path"] else "")


def _baked(daemon: Daemon) -> Settings:
    """The settings of the image's files; the defaults when they are what is wrong."""
    try:
        return baked(daemon.host.files, daemon.sources).settings
    except AgentError:
        return Settings()
