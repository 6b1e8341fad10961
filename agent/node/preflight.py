"""The preflight: what the first requests of docker and kubelet will meet, TLS through the proxy to one or two endpoints."""

from __future__ import annotations

from typing import Any

from agent.core.intent.probe_targets import endpoints
from agent.edges.clock import moment
from agent.edges.proxy_probe import probe_each
from agent.log import get_logger
from agent.node.inputs import Discovered

#: Seconds for all together, and how many endpoints are asked for.
_BOUND, _ENDPOINTS = 3.0, 2


def preflight(found: Discovered, before: dict[str, Any] | None) -> dict[str, Any] | None:
    """The value of status.json's `preflight`; `before` is the last one of this boot.  None when it is off.

    Once a boot and proxy when it is well; while it is not, at every look, and told when it becomes another.
    """
    targets = endpoints(found.settings, found.facts, found.intent)[:_ENDPOINTS]
    if found.settings.failure.preflight == "off" or found.intent is None or not targets:
        return None
    if not isinstance(before, dict) or not {"ok", "kind", "proxy"} <= set(before):
        before = None  # of another version, or spoilt
    proxy, credentials = found.intent.https_proxy, found.intent.credentials
    if before and before["ok"] and before["proxy"] == str(proxy):
        return before
    verdicts = probe_each(proxy, targets, credentials, timeout=_BOUND)
    worst = min(verdicts, key=lambda verdict: (verdict.ok, verdict.rank))
    if before and (before["ok"], before["kind"], before["proxy"]) == (worst.ok, worst.kind, str(proxy)):
        return before
    log = get_logger()
    if worst.ok:
        log.info("preflight.ok", text=worst.text)
    else:
        log.warning("preflight.failed", kind=worst.kind, text=worst.text, hint=worst.hint)
    shown = {"ok": worst.ok, "kind": worst.kind, "text": worst.text, "hint": worst.hint}
    return {**shown, "proxy": str(proxy), "at": moment()}
