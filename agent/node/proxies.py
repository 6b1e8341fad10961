"""Choice among the operator's proxies at boot, and their health checks while the daemon runs.

A single proxy is never checked before docker starts.  Of several, the first that serves is chosen
at boot.  The choice is kept in /run, so for this boot and for this list;
`core/net/proxy_selection.py` decides when it changes.  The preflight does what the first requests
of docker and kubelet will do: TLS through the proxy to one or two endpoints.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from agent.core.intent.inputs import Inputs, Resolved, resolve
from agent.core.intent.probe_targets import endpoints, first_endpoint
from agent.core.intent.reachability import ProbeResults
from agent.core.net import proxy_selection
from agent.core.net.proxy_selection import Choice
from agent.core.status.proxy_memory import ProxyMemory
from agent.core.status.records import PreflightStatus
from agent.edges.state import LockedState, State
from agent.errors import AgentError
from agent.log import get_logger
from agent.node import status_file
from agent.node.host import Host

#: Seconds that the choice at boot may hold up docker, and a health check of the daemon.
CHOICE_BOUND, CHECK_BOUND = 2.0, 3.0
#: Seconds for the whole preflight, and its number of endpoints.
PREFLIGHT_BOUND, PREFLIGHT_ENDPOINTS = 3.0, 2


class ProxyCheck(NamedTuple):
    """Result of one health check of the proxies.

    `changed`: another proxy is chosen, so a reconcile is due, which reads the new choice itself.
    `next_in`: seconds until the next check.
    """

    changed: bool
    next_in: float


def remembered_choice(state: State, inputs: Inputs) -> Choice | None:
    """Return the choice among several proxies since power on; None if this is not the instance."""
    return state.proxies().choice if inputs.on_instance else None


def choose(state: State, inputs: Inputs, results: ProbeResults, bound: float = CHOICE_BOUND) -> Choice | None:
    """Choose among the proxies; return None if there is one only or this list has a choice.

    Takes at most `bound` seconds, less if the first one serves; with 0, or at the limit of threads,
    the choice is left to the health checks after READY=1.
    """
    urls = inputs.settings.proxy.url
    if len(urls) < 2 or not inputs.on_instance or not bound:
        return None
    cached = remembered_choice(state, inputs)
    if cached is not None and cached.urls == urls:
        return None
    from agent.edges.proxy_probe import probe_all  # with ssl and http.client: most boots do not probe

    intent = resolve(inputs, results, None).intent
    host, port = first_endpoint(inputs.settings, inputs.facts, intent)
    try:
        verdicts = probe_all(urls, host, port, inputs.credentials, timeout=bound, enough=proxy_selection.decided)
    except AgentError as error:
        get_logger().error("proxy.look_failed", error=str(error))
        return None
    choice = proxy_selection.first_choice(urls, verdicts, now=time.monotonic(), wall=time.time())
    _report_choice(choice)
    return choice


def remember(state: LockedState, choice: Choice | None) -> None:
    """Save a fresh choice until the next boot."""
    if choice is not None:
        state.save_proxies(ProxyMemory(choice, state.proxies().preflight))


def check(host: Host, resolved: Resolved) -> ProxyCheck:
    """Check the proxies once, for the daemon: after READY=1, then at least every `next_in` seconds.

    Too soon after the last check this does nothing, so that neither a reload nor the repair of a
    file waits for a proxy. The first check of a boot includes the preflight.  The result is saved
    in /run and status.json, and logged if it is news.  Takes a few seconds at most, and raises
    nothing: a check that fails is logged, and tried again.
    """
    try:
        return _check(host, resolved)
    except Exception as error:  # noqa: BLE001 -- the daemon must survive any bug in a health check
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
    from agent.edges.proxy_probe import probe_all

    name, port = first_endpoint(inputs.settings, inputs.facts, intent)
    verdicts = probe_all(urls, name, port, intent.credentials, timeout=CHECK_BOUND)
    preflight_status = preflight(resolved, host.state.proxies().preflight)
    with host.locked() as state:
        cached = remembered_choice(state, inputs)
        before = cached if cached is not None and cached.urls == urls else Choice(urls, urls[0])
        after = proxy_selection.observe(
            before, verdicts, now=time.monotonic(), wall=time.time(), after=watch.failover_after
        )
        state.save_proxies(ProxyMemory(after, preflight_status))
        status_file.save_proxies(state, before, after, preflight_status)
    _report_news(before, after)
    pause = proxy_selection.pause(after, interval=watch.interval, after=watch.failover_after)
    if after.failed_for is None:
        import random

        pause *= random.uniform(0.9, 1.0)  # nodes of a group that started together drift apart
    return ProxyCheck(after.chosen != before.chosen, pause)


def _report_choice(choice: Choice) -> None:
    """Log a fresh choice: as info for the first of the list, as an error if no proxy serves."""
    log = get_logger()
    not_serving = [proxy for proxy in choice.seen if not proxy.up]
    if len(not_serving) == len(choice.seen):
        log.error("proxy.none_serves", chosen=str(choice.chosen), found=[proxy.text for proxy in choice.seen])
    elif choice.chosen != choice.urls[0]:
        log.warning("proxy.chosen", proxy=str(choice.chosen), instead=[proxy.text for proxy in not_serving])
    else:
        log.info("proxy.chosen", proxy=str(choice.chosen))


def _report_news(before: Choice, after: Choice) -> None:
    """Log what changed since the last check, if anything did.

    Only then is the logger requested: its import is a fifth of a cycle.
    """
    was_up = {proxy.url: proxy.up for proxy in before.seen}
    for proxy in after.seen:
        if proxy.up and was_up.get(proxy.url) is False:
            get_logger().info("proxy.up", proxy=str(proxy.url))
        elif not proxy.up and was_up.get(proxy.url) is not False:
            get_logger().warning("proxy.down", proxy=str(proxy.url), text=proxy.text)
    if after.chosen != before.chosen:
        get_logger().warning("proxy.failover", proxy=str(after.chosen), instead_of=str(before.chosen))


def preflight(resolved: Resolved, before: PreflightStatus | None) -> PreflightStatus | None:
    """Return the `preflight` of status.json, None if it is off; `before` is this boot's last.

    A preflight that succeeds is done once for each boot and proxy.  One that fails is repeated at
    every check, and logged when the failure changes.
    """
    targets = endpoints(resolved.settings, resolved.facts, resolved.intent)[:PREFLIGHT_ENDPOINTS]
    if resolved.settings.failure.preflight == "off" or resolved.intent is None or not targets:
        return None
    proxy, credentials = resolved.intent.https_proxy, resolved.intent.credentials
    if before and before.ok and before.proxy == str(proxy):
        return before
    from agent.edges.proxy_probe import probe_each

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
