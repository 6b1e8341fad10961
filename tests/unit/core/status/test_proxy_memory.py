"""The choice and the preflight in /run, and the proxies in status.json."""

import pytest

from agent.core.net.proxy_health import Verdict
from agent.core.net.proxy_selection import Choice, observe
from agent.core.net.proxy_url import parse_proxy_url
from agent.core.status.proxy_memory import ProxyMemory, proxy_statuses
from agent.core.status.records import PreflightStatus

A, B = (parse_proxy_url(f"http://{name}.corp:3128") for name in "ab")
UP, DOWN = Verdict(True, "ok", "up", seconds=0.01), Verdict(False, "dns", "?")
CHOICE = observe(Choice((A, B), B), [DOWN, UP], now=0.0, wall=1e9, after=600.0)
PREFLIGHT = PreflightStatus(False, "denied", "403", "ask for it", str(A), 1795379465)


@pytest.mark.parametrize("choice", [None, CHOICE])
@pytest.mark.parametrize("preflight", [None, PREFLIGHT])
def test_the_json_of_a_memory_gives_the_same_memory(choice, preflight):
    """Choice and preflight may each be unknown."""
    memory = ProxyMemory(choice, preflight)
    assert ProxyMemory.from_json(memory.to_json()) == memory


@pytest.mark.parametrize(
    "preflight", [7, [], {}, {"ok": True}, {"ok": True, "kind": "ok"}, {"ok": 1, "kind": "ok", "text": ""}]
)
def test_an_invalid_preflight_is_dropped(preflight):
    """It may come from an earlier version: the preflight runs again, and the choice stays."""
    data = {**ProxyMemory(CHOICE, PREFLIGHT).to_json(), "preflight": preflight}
    assert ProxyMemory.from_json(data) == ProxyMemory(CHOICE, None)


def test_the_proxies_of_status_json():
    """One for each proxy, in the order of proxy.url; a proxy that is down has no latency."""
    first, second = proxy_statuses(CHOICE)
    assert first.to_json() == {
        "url": "http://a.corp:3128",
        "up": False,
        "latency_seconds": None,
        "chosen": False,
        "since": "2001-09-09T01:46:40+00:00",
        "text": "?",
    }
    assert (second.up, second.latency_seconds, second.chosen) == (True, 0.01, True)
