"""Several proxies in the settings: when they are checked, and what is remembered."""

import contextlib
import json

import pytest

from agent.core.net.proxy_health import SERVES
from agent.core.net.proxy_selection import Choice, ProxyObservation
from agent.core.net.proxy_url import parse_proxy_url
from agent.core.record import evolve
from agent.edges.files import FileSystem
from agent.edges.state import State
from agent.edges.systemd import Systemd
from agent.node import inputs, proxies
from agent.node.host import Host
from agent.node.reconcile import cached_network, compose_intent
from agent.node.sources import SettingsSources, static_settings
from tests.integration.listening import Listener
from tests.integration.scratch import Node
from tests.integration.thread_limit import limit_program

STATE = "run/eks-proxy-agent/proxies.json"
STATUS = "run/eks-proxy-agent/status.json"


def test_a_health_check_without_news_needs_no_logger(monkeypatch):
    """The import of the logger would be a fifth of a cycle of the daemon."""
    monkeypatch.setattr(proxies, "get_logger", lambda: pytest.fail("no news"))
    url = parse_proxy_url("http://p:1")
    choice = Choice((url,), url, (ProxyObservation(url, SERVES, "", 0.1, 0.0),))
    proxies._report_news(choice, choice)


class Proxy:
    """A proxy that opens a tunnel to any target, and counts its requests."""

    def __init__(self):
        self.requests = 0
        self._listener = Listener(self._serve)
        self.url = f"http://127.0.0.1:{self._listener.port}"

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            self.requests += 1
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    def close(self):
        """Refuse connections from now on."""
        self._listener.close()


@pytest.fixture
def pair():
    """Two proxies that serve."""
    proxies = [Proxy(), Proxy()]
    yield proxies
    for proxy in proxies:
        proxy.close()


@pytest.fixture
def elsewhere(tmp_path):
    """A tree that is not this machine."""
    return Node(tmp_path)


@pytest.fixture
def node(elsewhere, monkeypatch):
    """A tree that counts as this machine, so that its proxies are checked."""
    monkeypatch.setattr(inputs, "is_on_instance", lambda host, sources: True)
    return elsewhere


def settings(node, *urls, more=""):
    """Write settings with these proxies."""
    text = f"[proxy]\nurl = {json.dumps(urls)}\n[node]\nunits = []\n[aws]\ndirect = []\n"
    (node.directory / "config.toml").write_text(text + '[failure]\npreflight = "off"\n' + more)


def in_use(node):
    """Return the proxy in node.env."""
    return node.read("etc/eks-proxy-agent/node.env").decode().splitlines()[0].partition("=")[2]


def resolved(node):
    """Return the host and the Resolved of the last reconcile, for a check."""
    files = FileSystem(str(node.root))
    host = Host(files, State(files), Systemd(running=False))
    config, facts = node.directory / "config.toml", node.directory / "facts.json"
    static = static_settings(files, SettingsSources(config=str(config), facts=str(facts)))
    loaded = inputs.load_inputs(host, static, inputs.facts_of(static))
    return host, compose_intent(loaded, cached_network(host.state, loaded))


def test_first_proxy_that_serves_is_chosen_and_remembered(node, pair):
    """A second run checks no proxy, and the plan has the same one.

    That holds even if the first proxy is up by then.
    """
    first, second = pair
    first.close()
    settings(node, first.url, second.url)
    node.apply()
    assert in_use(node) == second.url
    requests = second.requests
    code, out, err = node.run("plan")
    assert (code, out) == (0, ""), err
    node.apply()
    assert (in_use(node), second.requests) == (second.url, requests)


def test_at_the_limit_of_threads_the_choice_is_left_to_the_daemon(node, pair, monkeypatch):
    """The first proxy is in use until a health check; nothing is remembered as down."""
    first, second = pair
    first.close()
    settings(node, first.url, second.url)
    with monkeypatch.context() as patch:
        limit_program(patch, 0)
        node.apply()
    assert in_use(node) == first.url
    node.apply()
    assert in_use(node) == second.url


def test_refresh_and_changed_settings_choose_again(node, pair):
    """--refresh, another list and another order lead to a new choice."""
    first, second = pair
    settings(node, "http://127.0.0.1:1", second.url)
    node.apply()
    assert in_use(node) == second.url
    settings(node, first.url, second.url)
    node.apply()
    assert in_use(node) == first.url
    first.close()
    node.apply()
    assert in_use(node) == first.url
    node.apply("--refresh")
    assert in_use(node) == second.url


def test_plan_shows_the_choice_and_saves_nothing(node, pair):
    """Without a remembered choice plan checks the proxies as apply does, and leaves no trace."""
    first, second = pair
    first.close()
    settings(node, first.url, second.url)
    code, out, _ = node.run("plan")
    assert code == 3
    assert "+http_proxy=" + second.url in out
    assert not (node.root / STATE).exists()


def test_first_proxy_is_used_if_none_serves(node, pair):
    """Standard error then has the result for each proxy."""
    for proxy in pair:
        proxy.close()
    settings(node, pair[0].url, pair[1].url)
    code, _, err = node.run("apply")
    assert code == 0
    assert in_use(node) == pair[0].url
    assert "error: proxy.none_serves" in err
    assert err.count("Connection refused") == 2


def test_single_proxy_is_not_checked_before_docker_starts(node, pair):
    """There is nothing to choose, so no time is spent."""
    settings(node, pair[0].url)
    node.apply()
    node.apply("--refresh")
    assert pair[0].requests == 0
    assert not (node.root / STATE).exists()


def test_proxies_are_not_checked_for_another_tree(elsewhere, pair):
    """The results of an image builder would be wrong.

    The first proxy is used there, whatever choice the tree remembers.
    """
    settings(elsewhere, pair[0].url, pair[1].url)
    elsewhere.apply("--refresh")
    assert in_use(elsewhere) == pair[0].url
    assert proxies.check(*resolved(elsewhere)) == proxies.ProxyCheck(False, 600.0)
    assert pair[0].requests == pair[1].requests == 0


def test_revert_removes_the_choice(node, pair):
    """Nothing of the agent stays in /run."""
    settings(node, pair[0].url, pair[1].url)
    node.apply()
    assert (node.root / STATE).exists()
    node.revert()
    assert not (node.root / STATE).exists()


@pytest.mark.parametrize("corrupt", [b"", b"{", b"[]", b'{"choice": 7}', b'{"choice": {"urls": [1]}}', b"\xff\xfe"])
def test_corrupt_choice_is_ignored(node, pair, corrupt):
    """The proxies are checked again."""
    settings(node, "http://127.0.0.1:1", pair[1].url)
    node.write(STATE, corrupt)
    node.apply()
    assert in_use(node) == pair[1].url


def test_check_writes_all_proxies_to_status_json(node, pair):
    """It includes proxies that the choice did not wait for; too soon after it there is no check."""
    settings(node, pair[0].url, pair[1].url)
    node.apply()
    pair[1].close()
    last = resolved(node)
    checked = proxies.check(*last)
    assert not checked.changed
    assert 270 <= checked.next_in <= 300
    status = json.loads(node.read(STATUS))
    reported = [(proxy["url"], proxy["up"], proxy["chosen"]) for proxy in status["proxies"]]
    assert reported == [(pair[0].url, True, True), (pair[1].url, False, False)]
    requests = pair[0].requests
    second = proxies.check(*last)
    assert (second.changed, pair[0].requests) == (False, requests)
    assert second.next_in <= 300


def test_health_checks_and_failovers_are_counted(node, pair):
    """Each proxy counts at each check; another proxy in use is a failover."""
    settings(node, pair[0].url, pair[1].url)
    node.apply()
    proxies.check(*resolved(node))
    pair[0].close()
    host, inputs_and_intent = resolved(node)
    with host.locked() as state:
        memory = state.proxies()
        outage = evolve(memory.choice, failed_for=1e6, checked_at=memory.choice.checked_at - 1e6)
        state.save_proxies(memory._replace(choice=outage))
    assert proxies.check(host, inputs_and_intent).changed
    counters = json.loads(node.read(STATUS))["counters"]
    assert (counters["probes"], counters["failovers"]) == ({"up": 3, "down": 1}, 1)


def test_check_survives_a_failed_write(node, pair, capsys):
    """The daemon goes on, and the log has the error."""
    settings(node, pair[0].url, pair[1].url)
    node.apply()
    (node.root / STATE).unlink()
    (node.root / STATE).mkdir()
    assert proxies.check(*resolved(node)) == proxies.ProxyCheck(False, 600.0)
    assert "proxy.look_failed" in capsys.readouterr().err
