"""One turn of the daemon after boot: the same pass again, and a look at what runs.  A process of its own, see watch.py."""

from __future__ import annotations

import datetime
import json
import posixpath
import random
from typing import Any, Dict, List, Optional, Sequence, Tuple

import attrs

from agent import metrics, proxies, tell
from agent.boot import Daemon, after_ready, ask, bootstrap_again, degraded, one_pass
from agent.configure import Pass, stale_units
from agent.core.facts import Facts, facts_from_json
from agent.core.settings import Settings, Watch
from agent.core.targets import targets
from agent.discover import NODEADM_D
from agent.edges.lock import held
from agent.errors import AgentError, FileError, MetadataError
from agent.log import get_logger
from agent.owner import CONFIG, CONFIG_D, baked
from agent.restart import restart_stale
from agent.watch import RELOAD

#: Seconds between the tries of a degraded node: the first pause, the longest, and the longest once it was configured.
RETRY_FIRST, RETRY_LONGEST, RETRY_CONFIGURED = 2.0, 60.0, 300.0
#: Seconds that a turn asks for metadata, and from the boot to the first turn, which looks at what has started since.
PATIENCE, FIRST = 2.0, 60.0


def turn(daemon: Daemon, reason: str) -> None:
    """Look once at everything that may have changed, put it right, and say when to come back."""
    daemon = attrs.evolve(daemon, patience=PATIENCE)
    machine = daemon.machine
    if reason == RELOAD:
        with held(machine.disk):
            machine.state.save_memory(machine.state.memory().forgiven())
    before = machine.state.memory()
    done: Optional[Pass] = None
    trouble: Optional[AgentError] = None
    try:
        facts, trouble = _facts(daemon)
        done = one_pass(daemon, facts, units=reason == RELOAD or before.failures > 0)
        if done.plan.problems:
            trouble = FileError("\n".join(done.plan.problems))
    except AgentError as error:
        trouble = error
    news = done is not None and set(done.plan.changes) != set(done.repaired)
    settled = trouble is None and done is not None
    if done and settled and (news or reason == RELOAD or before.failures):
        settled = after_ready(daemon, done)
        if before.failures:
            bootstrap_again(daemon)
    if trouble:
        degraded(daemon, trouble, _policy(daemon, done))
    report(daemon, done, settled=settled)


def report(daemon: Daemon, done: Optional[Pass], *, settled: bool, boot: bool = False) -> None:
    """After a pass: what is stale, how the proxies are, what the fleet sees, which files matter and when to come back."""
    machine = daemon.machine
    pauses = []
    stale: Tuple[str, ...] = ()
    if done:
        look = proxies.look(machine, daemon.options, done.discovered)
        if look.changed:
            done = one_pass(daemon, done.discovered.facts)
        pauses.append(look.next_in)
    if done and not boot:
        stale = _stale(daemon, done)
    tell.log_fought(machine)
    memory = machine.state.memory()
    memory = attrs.evolve(memory, failures=0 if settled else max(1, memory.failures))
    if settled:
        _, memory = memory.says("degraded", "")
    machine.state.save_memory(memory)
    if settled and done and (stale or memory.fought):
        daemon.say(tell.summary(done, stale=stale, fought=sorted(memory.fought)))
    watch = done.discovered.settings.watch if done else _last_watch(machine.state.status() or {})
    pauses.append(watch.interval * random.uniform(0.9, 1.1) if settled else pause(memory.failures, bool(memory.wishes)))
    if boot:
        pauses.append(FIRST)
    _save(daemon, watch, stale, min(pauses))
    daemon.notify(
        "\n".join(["WATCH=" + machine.disk.real(path) for path in paths(daemon, done)] + ["NEXT=%g" % min(pauses)])
    )


def pause(failures: int, configured: bool) -> float:
    """Seconds until a degraded node tries again, with jitter, because the nodes of a group degrade together."""
    longest = RETRY_CONFIGURED if configured else RETRY_LONGEST
    return min(RETRY_FIRST * random.uniform(1.6, 1.9) ** min(failures, 20), longest)


def paths(daemon: Daemon, done: Optional[Pass]) -> List[str]:
    """The files of which a change is worth a turn; one that is fought over is not."""
    machine, memory = daemon.machine, daemon.machine.state.memory()
    found = [daemon.options.config or CONFIG, CONFIG_D + "/", NODEADM_D + "/", *memory.wishes]
    if done:
        settings, intent = done.discovered.settings, done.discovered.intent
        found += [target.path for target in targets(settings, intent, done.discovered.anchor)]
        found += [path for path in (settings.proxy.credentials_file, settings.node.ca_bundle) if path.startswith("/")]
    return [
        path
        for path in dict.fromkeys(found)
        if path not in memory.fought and machine.disk.resolve(path) not in memory.fought
    ]


def _facts(daemon: Daemon) -> Tuple[Facts, Optional[AgentError]]:
    """What the metadata service says, else what it last said since power on, and what was wrong with it."""
    try:
        return ask(daemon), None
    except MetadataError as error:
        instance = daemon.machine.state.memory().instance
        known = daemon.machine.state.of_instance(instance, "facts") if instance else None
        if not known:
            raise
        return facts_from_json(json.dumps(known)), error


def _stale(daemon: Daemon, done: Pass) -> Tuple[str, ...]:
    """The units that run with an old environment, told once a change, and restarted if the owner wants that."""
    machine, settings, intent = daemon.machine, done.discovered.settings, done.discovered.intent
    try:
        stale = stale_units(machine, settings, intent)
        if stale and intent and settings.watch.restart == "changed":
            restart_stale(machine, done.discovered.facts.instance_id, intent, stale, daemon.notify)
            stale = stale_units(machine, settings, intent)
    except AgentError as error:
        get_logger().error("units.failed", error=str(error))
        return ()
    news, memory = machine.state.memory().says("stale", " ".join([intent.digest(), *stale]) if intent and stale else "")
    machine.state.save_memory(memory)
    if news:
        meaning = "runs with an old environment until it is restarted: systemctl restart " + " ".join(stale)
        get_logger().warning("units.stale", units=stale, meaning=meaning)
    return stale


def _save(daemon: Daemon, watch: Watch, stale: Sequence[str], pause: float) -> None:
    """What status.json says beside the pass, and the metrics made of it."""
    machine = daemon.machine
    memory = machine.state.memory()
    then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=pause)
    with held(machine.disk):
        status: Dict[str, Any] = {
            **(machine.state.status() or {}),
            "stale_units": list(stale),
            "repairs": {"total": memory.total, "fought": sorted(memory.fought)},
            "next_pass": then.isoformat(timespec="seconds"),
        }
        machine.state.save_status(status)
    metrics.publish(machine, Settings(watch=watch), status)


def _policy(daemon: Daemon, done: Optional[Pass]) -> str:
    try:
        settings = done.discovered.settings if done else baked(daemon.machine.disk, daemon.options).settings
    except AgentError:
        settings = Settings()
    return settings.failure.policy


def _last_watch(status: Dict[str, Any]) -> Watch:
    """While the settings cannot be read the metrics stay where they are."""
    path = (status.get("metrics") or {}).get("path")
    return Watch(metrics=posixpath.dirname(path) if path else None)
