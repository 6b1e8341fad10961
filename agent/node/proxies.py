"""Which of the operator's proxies this node uses, and how they are: asked at boot, checked while the daemon runs.

A single proxy is never asked before docker starts.  Of several, the first that serves is chosen at
boot and remembered in /run, so for this boot and for this list; `core/net/proxy_selection.py` says
when that changes.  The preflight is what the first requests of docker and kubelet will meet: TLS
through the proxy to one or two endpoints.
"""

from __future__ import annotations

import random
import time
from typing import NamedTuple

from agent.core.intent.inputs import Inputs, Resolved, resolve
from agent.core.intent.probe_targets import endpoints, first_endpoint
from agent.core.intent.reachability import ProbeResults
from agent.core.net import proxy_selection
from agent.core.net.proxy_selection import Choice
from agent.core.status.proxy_memory import ProxyMemory
from agent.core.status.records import PreflightStatus
from agent.edges.proxy_probe import probe_all, probe_each
from agent.edges.state import LockedState, State
from agent.log import get_logger
from agent.node import status_file
from agent.node.host import Host

#: Seconds that the choice at boot may hold up docker, and a health check of the daemon.
CHOICE_BOUND, CHECK_BOUND = 2.0, 3.0
#: Seconds for the whole preflight, and how many endpoints are asked for.
PREFLIGHT_BOUND, PREFLIGHT_ENDPOINTS = 3.0, 2


class ProxyCheck(NamedTuple):
    """Result of one health check of the proxies.

    `changed`: another proxy is chosen, so a cycle is due, which takes up the new choice by itself.
    `next_in`: seconds until the next check.
    """

    changed: bool
    next_in: float


def remembered_choice(state: State, inputs: Inputs) -> Choice | None:
    """Return the choice among several proxies that was made since power on, if it is this host's."""
    return state.proxies().choice if inputs.on_instance else None


def choose(state: State, inputs: Inputs, results: ProbeResults) -> Choice | None:
    """Ask the proxies, if there are several and nothing is remembered of this list; else return None.

    Takes CHOICE_BOUND seconds at most, less when the first serves.
    """
    urls = inputs.settings.proxy.url
    if len(urls) < 2 or not inputs.on_instance:
        return None
    cached = remembered_choice(state, inputs)
    if cached is not None and cached.urls == urls:
        return None
    intent = resolve(inputs, results, None).intent
    host, port = first_endpoint(inputs.settings, inputs.facts, intent)
    verdicts = probe_all(urls, host, port, inputs.credentials, timeout=CHOICE_BOUND, enough=proxy_selection.decided)
    choice = proxy_selection.first_choice(urls, verdicts, now=time.monotonic(), wall=time.time())
    _report_choice(choice)
    return choice


def remember(state: LockedState, choice: Choice | None) -> None:
    """Save a fresh choice until the next boot."""
    if choice is not None:
        state.save_proxies(ProxyMemory(choice, state.proxies().preflight))


def check(host: Host, resolved: Resolved) -> ProxyCheck:
    """Check the proxies once, for the daemon: after READY=1, then whenever `next_in` has passed, or more often.

    Too soon after the last check it does nothing: a reload, or a file that is put right, waits for
    no proxy. The first check of a boot is the preflight as well.  The result goes to /run and into
    status.json, and into the log when it is news.  Takes a few seconds at most, and raises nothing:
    a check that fails is logged, and tried again.
    """
    try:
        return _check(host, resolved)
    except Exception as error:  # noqa: BLE001 -- the daemon's life must not hang on a health check
        get_logger().error("proxy.look_failed", error=f"{type(error).__name__}: {error}")
        return ProxyCheck(False, resolved.settings.watch.interval)


def _check(host: Host, resolved: Resolved) -> ProxyCheck:
    inputs, intent = resolved.inputs, resolved.intent
    urls, watch = inputs.settings.proxy.url, inputs.settings.watch
    if not urls or intent is None or not inputs.on_instance:
        return ProxyCheck(False, watch.interval)
    last = remembered_choice(host.state, inputs)
    remaining = proxy_selection.wait(
        last, urls, now=time.monotonic(), interval=watch.interval, after=watch.failover_after
    )
    if remaining > 0:
        return ProxyCheck(False, remaining)
    name, port = first_endpoint(inputs.settings, inputs.facts, intent)
    verdicts = probe_all(urls, name, port, intent.credentials, timeout=CHECK_BOUND)
    ahead = preflight(resolved, host.state.proxies().preflight)
    with host.locked() as state:
        cached = remembered_choice(state, inputs)
        before = cached if cached is not None and cached.urls == urls else Choice(urls, urls[0])
        after = proxy_selection.observe(
            before, verdicts, now=time.monotonic(), wall=time.time(), after=watch.failover_after
        )
        state.save_proxies(ProxyMemory(after, ahead))
        status_file.save_proxies(state, after, ahead)
    _report_news(before, after)
    pause = proxy_selection.pause(after, interval=watch.interval, after=watch.failover_after)
    if after.failed_for is None:
        pause *= random.uniform(0.9, 1.0)  # the nodes of a group start together, and need not ask together for ever
    return ProxyCheck(after.chosen != before.chosen, pause)


def _report_choice(choice: Choice) -> None:
    """Log a fresh choice: quietly when the owner's first is taken, loudly when none serves."""
    log = get_logger()
    not_serving = [one for one in choice.seen if not one.up]
    if all(one in not_serving for one in choice.seen):
        log.error("proxy.none_serves", chosen=str(choice.chosen), found=[one.text for one in choice.seen])
    elif choice.chosen != choice.urls[0]:
        log.warning("proxy.chosen", proxy=str(choice.chosen), instead=[one.text for one in not_serving])
    else:
        log.info("proxy.chosen", proxy=str(choice.chosen))


def _report_news(before: Choice, after: Choice) -> None:
    """Log what changed since the last look; no line when nothing did."""
    log = get_logger()
    up = {one.url: one.up for one in before.seen}
    for one in after.seen:
        if one.up and up.get(one.url) is False:
            log.info("proxy.up", proxy=str(one.url))
        elif not one.up and up.get(one.url) is not False:
            log.warning("proxy.down", proxy=str(one.url), text=one.text)
    if after.chosen != before.chosen:
        log.warning("proxy.failover", proxy=str(after.chosen), instead_of=str(before.chosen))


def preflight(resolved: Resolved, before: PreflightStatus | None) -> PreflightStatus | None:
    """The value of status.json's `preflight`; `before` is the last one of this boot.  None when it is off.

    Once a boot and proxy when it is well; while it is not, at every look, and told when it becomes
    another.
    """
    targets = endpoints(resolved.settings, resolved.facts, resolved.intent)[:PREFLIGHT_ENDPOINTS]
    if resolved.settings.failure.preflight == "off" or resolved.intent is None or not targets:
        return None
    proxy, credentials = resolved.intent.https_proxy, resolved.intent.credentials
    if before and before.ok and before.proxy == str(proxy):
        return before
    verdicts = probe_each(proxy, targets, credentials, timeout=PREFLIGHT_BOUND)
    worst = min(verdicts, key=lambda verdict: (verdict.ok, verdict.rank))
    if before and (before.ok, before.kind, before.proxy) == (worst.ok, worst.kind, str(proxy)):
        return before
    log = get_logger()
    if worst.ok:
        log.info("preflight.ok", text=worst.text)
    else:
        log.warning("preflight.failed", kind=worst.kind, text=worst.text, hint=worst.hint)
    return PreflightStatus(worst.ok, worst.kind, worst.text, worst.hint, str(proxy), int(time.time()))
