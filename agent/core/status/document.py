"""The Intent of a node, read back from its status.json: what the pods are to share with it.  Pure."""

from __future__ import annotations

import json
from typing import Any

from agent.core.intent.intent import Intent
from agent.core.net.proxy_url import Credentials, ProxyUrl, parse_proxy_url
from agent.core.noproxy.entries import Entry
from agent.errors import AgentError


def intent_from_status(text: str, name: str, credentials: Credentials | None) -> Intent:
    """The Intent in /run/eks-proxy-agent/status.json or `status --json`; raises AgentError when it holds none.

    The node's file has no credentials: they come from these settings.  The digest is compared, so that a list that
    somebody edited is not taken for a node's.
    """
    try:
        status = json.loads(text)
        if not isinstance(status, dict):
            raise ValueError("it is no JSON object")
        if not status.get("proxy"):
            raise ValueError('it is of a node without a proxy (phase "{}")'.format(status.get("phase")))
        intent = Intent(
            _proxy(status["proxy"]["http"]),
            _proxy(status["proxy"]["https"]),
            tuple(_entry(entry) for entry in status["no_proxy"]),
            credentials,
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        hint = "take it from a configured node: /run/eks-proxy-agent/status.json, or eks-proxy-agent status --json"
        raise AgentError(f"{name}: is no status of a node: {why}", hint=hint) from None
    if status.get("intent") != intent.digest():
        raise AgentError(f"{name}: its values are not those that the node computed (intent)")
    return intent


def _proxy(value: Any) -> ProxyUrl:
    return parse_proxy_url(str(value))


def _entry(value: Any) -> Entry:
    entry, reason = str(value["entry"]), str(value["reason"])
    if not entry or any(not 0x21 <= ord(char) <= 0x7E or char == "," for char in entry):
        raise ValueError("no_proxy has an entry that is none")
    return Entry(entry, reason)
