"""Which of the owner's proxies this node uses, and how they are: asked at boot, looked at while the daemon runs.

A single proxy is never asked before docker starts.  Of several, the first that serves is chosen at boot and remembered in
/run, so for this boot and for this list; `core/choice.py` says when that changes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

import attrs

from agent.core.facts.instance import Facts
from agent.core.intent.probe_targets import first_endpoint
from agent.core.intent.reachability import ProbeResults
from agent.core.net import proxy_selection as choices
from agent.core.net.choice_json import choice_to_json, records
from agent.core.net.proxy_selection import Choice
from agent.edges.clock import moment
from agent.edges.lock import held
from agent.edges.proxy_probe import probe_all
from agent.log import get_logger
from agent.node.apply import Host
from agent.node.inputs import Discovered, discover, layered_settings, on_the_instance, remembered_choice
from agent.node.preflight import preflight
from agent.node.sources import SettingsSources

#: Seconds that the choice at boot may hold up docker, and a look of the daemon.
CHOICE_BOUND, LOOK_BOUND = 2.0, 3.0


@attrs.frozen
class Look:
    """What a look came to.

    `changed`: another proxy is chosen, so a pass is due, which finds the new choice by itself.  `next_in`: seconds until
    the next look.  `told`: `proxies` and `preflight` of status.json, already written there.
    """

    changed: bool
    next_in: float
    told: Mapping[str, Any]


def choose(
    host: Host, sources: SettingsSources, facts: Facts, answers: ProbeResults, *, refresh: bool = False
) -> Choice | None:
    """Ask the proxies, if there are several and nothing is remembered of this list, or with `refresh`; else None.

    Takes CHOICE_BOUND seconds at most, less when the first serves.  Raises AgentError for settings that cannot be read.
    """
    urls = layered_settings(host, sources, facts).settings.proxy.url
    if len(urls) < 2 or not on_the_instance(host, sources):
        return None
    known = remembered_choice(host, sources)
    if known is not None and known.urls == urls and not refresh:
        return None
    found = discover(host, sources, facts, answers)
    credentials = found.intent.credentials if found.intent else None
    name, port = first_endpoint(found.settings, facts, found.intent)
    verdicts = probe_all(urls, name, port, credentials, timeout=CHOICE_BOUND, enough=choices.decided)
    choice = choices.first_choice(urls, verdicts, now=time.monotonic(), wall=time.time())
    _tell(choice)
    return choice


def remember(host: Host, choice: Choice | None) -> None:
    """Keep a fresh choice until the next boot."""
    if choice is not None:
        _save(host, choice, host.state.proxies().get("preflight"))


def look(host: Host, sources: SettingsSources, found: Discovered) -> Look:
    """Look at the proxies once, for the daemon: after READY=1, then whenever `next_in` has passed, or more often.

    Too soon after the last look it does nothing: a reload, or a file that is put right, waits for no proxy.
    The first look of a boot is the preflight as well.  What is found goes to /run and into status.json, and into the log
    when it is news.  Takes a few seconds at most, and raises nothing: a look that fails is logged, and tried again.
    """
    interval = found.settings.watch.interval
    try:
        return _look(host, sources, found)
    except Exception as error:  # noqa: BLE001 -- the daemon's life must not hang on a look
        get_logger().error("proxy.look_failed", error=f"{type(error).__name__}: {error}")
        return Look(False, interval, {})


def _look(host: Host, sources: SettingsSources, found: Discovered) -> Look:
    urls, watch = found.settings.proxy.url, found.settings.watch
    if not urls or found.intent is None or not on_the_instance(host, sources):
        return Look(False, watch.interval, {})
    last = remembered_choice(host, sources)
    left = choices.wait(last, urls, now=time.monotonic(), interval=watch.interval, after=watch.failover_after)
    if left > 0:
        return Look(False, left, {})
    name, port = first_endpoint(found.settings, found.facts, found.intent)
    verdicts = probe_all(urls, name, port, found.intent.credentials, timeout=LOOK_BOUND)
    ahead = preflight(found, host.state.proxies().get("preflight"))
    with held(host.files):
        known = remembered_choice(host, sources)
        before = known if known is not None and known.urls == urls else Choice(urls, urls[0])
        after = choices.observe(before, verdicts, now=time.monotonic(), wall=time.time(), after=watch.failover_after)
        _save(host, after, ahead)
        told = {"proxies": records(after, moment), "preflight": ahead}
        status = host.state.status()
        if status is not None:
            host.state.save_status({**status, **told})
    _tell_news(before, after)
    pause = choices.pause(after, interval=watch.interval, after=watch.failover_after)
    if after.failed_for is None:
        pause *= random.uniform(0.9, 1.0)  # the nodes of a group start together, and need not ask together for ever
    return Look(after.chosen != before.chosen, pause, told)


def _tell(choice: Choice) -> None:
    """Log a fresh choice: quietly when the owner's first is taken, loudly when none serves."""
    log = get_logger()
    not_serving = [one for one in choice.seen if not one.up]
    if all(one in not_serving for one in choice.seen):
        log.error("proxy.none_serves", chosen=str(choice.chosen), found=[one.text for one in choice.seen])
    elif choice.chosen != choice.urls[0]:
        log.warning("proxy.chosen", proxy=str(choice.chosen), instead=[one.text for one in not_serving])
    else:
        log.info("proxy.chosen", proxy=str(choice.chosen))


def _tell_news(before: Choice, after: Choice) -> None:
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


def _save(host: Host, choice: Choice, ahead: Mapping[str, Any] | None) -> None:
    host.state.save_proxies({"choice": choice_to_json(choice), "preflight": ahead})
