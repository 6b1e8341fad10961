"""The story of a boot, from the first second to READY=1."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import attrs

from agent.core.facts.instance import Facts, facts_from_json
from agent.core.plan import drift
from agent.core.plan.desired import static_files
from agent.core.settings.schema import Settings
from agent.daemon import journal_events
from agent.daemon.protocol import Busy, Ready, Send
from agent.edges.child import SILENCE
from agent.edges.signals import Signals
from agent.errors import AgentError, SettingsError
from agent.log import add_field, get_logger
from agent.node.apply import apply
from agent.node.change_log import log_changes
from agent.node.host import Host
from agent.node.inputs import BOOT_DEADLINE, facts_of
from agent.node.planning import desired_digests, plan_node
from agent.node.reachability import probe_again, remember
from agent.node.reconcile import ReconcileResult, Trigger, reconcile
from agent.node.sources import SettingsSources, StaticSettings, read_ca, static_settings
from agent.node.units import release_units

BOOTSTRAP_UNIT = "eks-proxy-agent-bootstrap.service"


@attrs.frozen
class Daemon:
    """What the daemon works with; `patience` limits the seconds that it asks for metadata, after boot."""

    host: Host
    sources: SettingsSources
    send: Send
    signals: Signals
    patience: float = math.inf

    def say(self, text: str) -> None:
        """Tell systemd (`systemctl status`) what we are at."""
        journal_events.set_status(self.send, text)

    def busy(self, seconds: float) -> None:
        """Ask for so many seconds in which nothing will be said."""
        self.send(Busy(seconds))

    def static_settings(self) -> StaticSettings:
        """Read the settings of files and flags; raises SettingsError and FileError."""
        return static_settings(self.host.files, self.sources)


def boot(daemon: Daemon) -> ReconcileResult | None:
    """Configure the node, then let the units that wait for us start.

    READY=1 is sent in any case, so that a node without its metadata service still boots far enough
    to be looked at. Returns the result, or None when the node is degraded: the policy "open" lets
    docker start on the last good values, "closed" holds it back by its drop-in.  Raises
    SettingsError: wrong settings do not mend themselves.
    """
    host = daemon.host
    try:
        static = daemon.static_settings()
        prepared = prepare(daemon, static.settings)
        daemon.say(f"querying the metadata service at {static.settings.metadata.endpoint}")
        trigger = Trigger.DAEMON_CYCLE if prepared else Trigger.DAEMON_BOOT
        result = one_pass(daemon, static, ask(daemon, static), trigger)
        result.raise_problems()
    except SettingsError as error:
        journal_events.log_degraded(host, error)
        raise
    except AgentError as error:
        degraded(daemon, error)
        daemon.send(Ready())
        return None
    daemon.send(Ready())
    settled = after_ready(daemon, result)
    bootstrap_again(daemon)
    result = _probe_again(daemon, static, result) if result.ask_again else result
    return result if settled else None


def _probe_again(daemon: Daemon, static: StaticSettings, result: ReconcileResult) -> ReconcileResult:
    """What was not reached directly at an earlier boot may be by now; docker has started, so this costs nobody time."""
    host, inputs = daemon.host, result.resolved.inputs
    try:
        fresh = probe_again(host.state, inputs)
        if not fresh:
            return result
        get_logger().info("direct.found", hosts=sorted(fresh))
        with host.locked() as state:
            remember(state, inputs.facts.instance_id, fresh)
        return one_pass(daemon, static, inputs.facts, Trigger.DAEMON_BOOT)
    except AgentError as error:
        get_logger().warning("direct.failed", error=str(error))
        return result


def prepare(daemon: Daemon, settings: Settings) -> bool:
    """Write the drop-ins, enable docker and reload systemd while the network is still coming up.

    None of that depends on the instance; docker's start is queued and waits for READY=1.  Only when
    the files of the image name a proxy: what user data adds comes with the reconcile.  Returns True
    if that was all done.
    """
    host = daemon.host
    if not settings.proxy.url:
        return False
    daemon.say("writing drop-ins")
    try:
        settings = recall_units(host, settings)
        with host.locked() as state:
            static = static_files(settings, read_ca(host.files, settings))
            plan = apply(plan_node(host, static, settings, complete=False), host, state)
            state.update_memory(
                lambda memory: memory.after_preparation(plan, desired_digests(host, static), time.monotonic())
            )
    except AgentError as error:
        get_logger().warning("prepare.failed", error=str(error), meaning="the reconcile that follows tries again")
        return False
    log_changes(plan)
    return not plan.problems


def recall_units(host: Host, image: Settings) -> Settings:
    """Return the image's settings with the units as this machine last wanted them, if it was of this image.

    An image may say failure.policy = "closed" and user data "open": without this, each boot would
    write the gates first and take them back a second later, with two reloads of systemd.  It is a
    guess, for a machine known by its id: what is wrong in it the reconcile puts right.
    """
    known = host.state.prepared()
    if not known or known.get("machine") != _machine_id(host) or known.get("image") != _units(image):
        return image
    try:
        return attrs.evolve(
            image,
            node=attrs.evolve(image.node, units=tuple(known["units"]), enable=tuple(known["enable"])),
            failure=attrs.evolve(image.failure, policy=str(known["policy"])),
        )
    except (KeyError, TypeError):
        return image  # of another version, or spoilt: the reconcile writes it anew


def remember_units(host: Host, image: Settings, settings: Settings) -> None:
    """Save what `recall_units` works with, as long as it differs from what the image says.  Raises FileError."""
    desired = {"machine": _machine_id(host), "image": _units(image), **_units(settings)}
    prepared = desired if _units(settings) != _units(image) else None
    if prepared != host.state.prepared():
        with host.locked() as state:
            state.save_prepared(prepared)


def _units(settings: Settings) -> dict[str, Any]:
    node = settings.node
    return {"units": list(node.units), "enable": list(node.enable), "policy": settings.failure.policy}


def _machine_id(host: Host) -> str:
    return (host.files.read("/etc/machine-id") or b"").decode("ascii", "replace").strip()


def ask(daemon: Daemon, static: StaticSettings) -> Facts:
    """Return this instance's facts, without what the metadata service forgot for a moment.

    It is asked until it answers or the deadline has passed; SIGTERM ends the wait.
    """
    deadline = static.settings.metadata.deadline or BOOT_DEADLINE
    if min(deadline, daemon.patience) > SILENCE / 2:
        daemon.busy(deadline)
    facts = facts_of(static, default=BOOT_DEADLINE, longest=daemon.patience, sleep=daemon.signals.sleep)
    add_field("INSTANCE_ID", facts.instance_id)
    return facts if daemon.sources.facts else steady_facts(daemon.host, facts)


def steady_facts(host: Host, facts: Facts) -> Facts:
    """Return facts without what a metadata service forgot for a moment (`drift.debounce_facts`), and log when it forgets."""
    with host.locked() as state:
        cached = state.cached(facts.instance_id, "facts")
        try:
            last = facts_from_json(json.dumps(cached)) if cached else None
        except AgentError:
            last = None
        steady, memory = drift.debounce_facts(facts, last, state.memory(), time.monotonic())
        news, memory = memory.report_once("missing", ", ".join(memory.missing))
        state.update_memory(lambda _: memory)
    if news:
        meaning = f"kept until missing in {drift.PASSES} cycles and for {drift.ABSENT:g} s"
        get_logger().warning("metadata.missing", what=tuple(memory.missing), meaning=meaning)
    return steady


def one_pass(daemon: Daemon, static: StaticSettings, facts: Facts, trigger: Trigger) -> ReconcileResult:
    """Reconcile once, logged; an empty plan leaves no line.  What could not be done is in its plan's problems."""
    result = reconcile(daemon.host, static, facts, trigger)
    if not result.plan.problems:
        remember_units(daemon.host, static.settings, result.settings)
        daemon.say(journal_events.summary(result))
    return result


def after_ready(daemon: Daemon, result: ReconcileResult) -> bool:
    """What need not hold up docker: enabling units, and a line that says what this node believes.

    Answers whether all units that were held back are on their way; if not, it has to be tried
    again.
    """
    log = get_logger()
    intent = result.intent
    for warning in result.resolved.warnings:
        log.warning("settings.warning", text=warning)
    log.info(
        journal_events.EVENTS[result.phase],
        instance_id=result.resolved.facts.instance_id,
        **({"proxy": str(intent.http_proxy), "intent": intent.digest()} if intent else {}),
    )
    try:
        released = release_units(daemon.host, result.settings, result.plan)
    except AgentError as error:
        log.error("units.failed", error=str(error))
        return False
    if released:
        log.info("units.released", units=released)
    return True


def bootstrap_again(daemon: Daemon) -> None:
    """Start the bootstrap unit that failed for want of metadata; what it did on this instance it will not do again."""
    try:
        unit = daemon.host.units.show([BOOTSTRAP_UNIT]).get(BOOTSTRAP_UNIT)
        if unit and unit.active == "failed":
            daemon.host.units.start([BOOTSTRAP_UNIT])
            get_logger().info("bootstrap.started_again", unit=BOOTSTRAP_UNIT)
    except AgentError as error:
        get_logger().error("units.failed", error=str(error))


def degraded(daemon: Daemon, error: AgentError) -> None:
    """Say loudly what is wrong and what it means."""
    meaning = journal_events.log_degraded(daemon.host, error)
    first_line = str(error).partition("\n")[0]
    daemon.say(f"degraded: {first_line}; {meaning}")
