"""The story of a boot, from the first second to READY=1."""

from __future__ import annotations

import time

import attrs

from agent.core.facts.instance import Facts
from agent.core.plan.desired import static_targets
from agent.core.settings.schema import Settings
from agent.daemon import journal_events, prepared
from agent.edges.child import SILENCE
from agent.edges.lock import held
from agent.edges.notify import Notify
from agent.edges.signals import Signals
from agent.errors import AgentError, SettingsError
from agent.log import add_field, get_logger
from agent.node.apply import Host, apply
from agent.node.inputs import BOOT_DEADLINE, ask_metadata_service, facts_of
from agent.node.planning import desired_digests, plan_node
from agent.node.reachability import ask_again, remember
from agent.node.reconcile import ReconcileResult, configure, release_units, steady_facts
from agent.node.sources import SettingsSources, baked, read_ca

BOOTSTRAP_UNIT = "eks-proxy-agent-bootstrap.service"


@attrs.frozen
class Daemon:
    """What the daemon works with; `patience` limits the seconds that it asks for metadata, after boot."""

    host: Host
    sources: SettingsSources
    notify: Notify
    signals: Signals
    patience: float | None = None

    def say(self, text: str) -> None:
        """Tell systemd (`systemctl status`) what we are at."""
        journal_events.say(self.notify, text)

    def fetch(self, settings: Settings) -> Facts:
        """Ask the metadata service until it answers or the deadline has passed; SIGTERM ends the wait."""
        deadline = settings.metadata.deadline or BOOT_DEADLINE
        deadline = min(deadline, self.patience or deadline)
        if deadline > SILENCE / 2:
            self.notify("BOUND=%g" % (deadline + SILENCE))
        return ask_metadata_service(settings, deadline, self.signals.sleep)


def boot(daemon: Daemon) -> ReconcileResult | None:
    """Configure the node, then let the units that wait for us start.

    READY=1 is sent in any case, so that a node without its metadata service still boots far enough to be looked at.
    Answers the pass, or None when the node is degraded: the policy "open" lets docker start on the last good values,
    "closed" holds it back by its drop-in.  Raises SettingsError: wrong settings do not mend themselves.
    """
    try:
        settings = baked(daemon.host.files, daemon.sources).settings
    except SettingsError as error:
        journal_events.log_degraded(daemon.host, error, "open")
        raise
    done_before = prepare(daemon, settings)
    daemon.say(f"asking the metadata service at {settings.metadata.endpoint}")
    try:
        done = one_pass(daemon, ask(daemon), units=not done_before)
        done.raise_problems()
    except SettingsError as error:
        journal_events.log_degraded(daemon.host, error, settings.failure.policy)
        raise
    except AgentError as error:
        degraded(daemon, error, settings.failure.policy)
        daemon.notify("READY=1")
        return None
    daemon.notify("READY=1")
    settled = after_ready(daemon, done)
    bootstrap_again(daemon)
    done = _ask_again(daemon, done) if done.ask_again else done
    return done if settled else None


def _ask_again(daemon: Daemon, done: ReconcileResult) -> ReconcileResult:
    """What was not reached directly at an earlier boot may be by now; docker has started, so this costs nobody time."""
    facts = done.discovered.facts
    try:
        fresh = ask_again(daemon.host, daemon.sources, facts)
        if not fresh:
            return done
        get_logger().info("direct.found", hosts=sorted(fresh))
        with held(daemon.host.files):
            remember(daemon.host, facts.instance_id, fresh)
        return one_pass(daemon, facts)
    except AgentError as error:
        get_logger().warning("direct.failed", error=str(error))
        return done


def prepare(daemon: Daemon, settings: Settings) -> bool:
    """Write the drop-ins, enable docker and reload systemd while the network is still coming up.

    None of that depends on the instance; docker's start is queued and waits for READY=1.  Only when the files of the
    image name a proxy: what user data adds comes with the pass.  Answers whether that was all done.
    """
    if not settings.proxy.url:
        return False
    daemon.say("writing drop-ins")
    try:
        settings = prepared.recall(daemon.host, settings)
        with held(daemon.host.files):
            static = static_targets(settings, read_ca(daemon.host.files, settings))
            plan = apply(plan_node(daemon.host, static, settings, complete=False), daemon.host)
            known = daemon.host.state.memory()
            memory = known.prepared(plan, desired_digests(daemon.host, static), time.monotonic())
            if memory != known:
                daemon.host.state.save_memory(memory)
    except AgentError as error:
        get_logger().warning("prepare.failed", error=str(error), meaning="the pass after it tries again")
        return False
    journal_events.log_plan(plan)
    return not plan.problems


def ask(daemon: Daemon) -> Facts:
    """This instance's facts, without what the metadata service forgot for a moment."""
    facts = facts_of(daemon.host, daemon.sources, daemon.fetch)
    add_field("INSTANCE_ID", facts.instance_id)
    return facts if daemon.sources.facts else steady_facts(daemon.host, facts)


def one_pass(daemon: Daemon, facts: Facts, *, units: bool = True) -> ReconcileResult:
    """One pass, logged; an empty plan leaves no line.  What could not be done is in its plan's problems."""
    done = configure(daemon.host, daemon.sources, facts, units=units, daemon=True, tell=journal_events.log_plan)
    if not done.plan.problems:
        prepared.remember(daemon.host, baked(daemon.host.files, daemon.sources).settings, done.discovered.settings)
        daemon.say(journal_events.summary(done))
    return done


def after_ready(daemon: Daemon, done: ReconcileResult) -> bool:
    """What need not hold up docker: enabling units, and a line that says what this node believes.

    Answers whether all units that were held back are on their way; if not, it has to be tried again.
    """
    log = get_logger()
    intent = done.discovered.intent
    for warning in done.discovered.warnings:
        log.warning("settings.warning", text=warning)
    log.info(
        journal_events.EVENTS[done.phase],
        instance_id=done.discovered.facts.instance_id,
        **({"proxy": str(intent.http_proxy), "intent": intent.digest()} if intent else {}),
    )
    try:
        released = release_units(daemon.host, done)
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


def degraded(daemon: Daemon, error: AgentError, policy: str) -> None:
    """Say loudly what is wrong and what it means."""
    meaning = journal_events.log_degraded(daemon.host, error, policy)
    daemon.say("degraded, {}: {}".format(meaning, str(error).partition("\n")[0]))
