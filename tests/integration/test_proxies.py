"""Several proxies in the settings: when they are asked, when they are not, and what is
remembered.
"""

import contextlib
import json

import pytest

from agent.edges.files import FileSystem
from agent.edges.state import State
from agent.edges.systemd import Systemd
from agent.node import inputs, proxies
from agent.node.host import Host
from agent.node.reconcile import cached_network, compose_intent
from agent.node.sources import SettingsSources, static_settings
from tests.integration.listening import Listener
from tests.integration.scratch import Node

STATE = "run/eks-proxy-agent/proxies.json"
STATUS = "run/eks-proxy-agent/status.json"


class Proxy:
    """Opens a tunnel to anything, and counts how often it was asked."""

    def __init__(self):
        self.asked = 0
        self._listener = Listener(self._serve)
        self.url = f"http://127.0.0.1:{self._listener.port}"

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            self.asked += 1
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    def close(self):
        """From now on connections are refused."""
        self._listener.close()


@pytest.fixture
def pair():
    """Two proxies that serve."""
    made = [Proxy(), Proxy()]
    yield made
    for proxy in made:
        proxy.close()


@pytest.fixture
def elsewhere(tmp_path):
    """A tree that is not this machine."""
    return Node(tmp_path)


@pytest.fixture
def node(elsewhere, monkeypatch):
    """A tree that counts as this machine, so that its proxies are asked."""
    monkeypatch.setattr(inputs, "is_on_instance", lambda host, sources: True)
    return elsewhere


def settings(node, *urls, more=""):
    """Put proxies into the settings."""
    text = f"[proxy]\nurl = {json.dumps(urls)}\n[node]\nunits = []\n[aws]\ndirect = []\n"
    (node.directory / "config.toml").write_text(text + '[failure]\npreflight = "off"\n' + more)


def in_use(node):
    """The proxy in node.env."""
    return node.read("etc/eks-proxy-agent/node.env").decode().splitlines()[0].partition("=")[2]


def found(node):
    """What the last pass found, for a look."""
    files = FileSystem(str(node.root))
    host = Host(files, State(files), Systemd(running=False))
    config, facts = node.directory / "config.toml", node.directory / "facts.json"
    static = static_settings(files, SettingsSources(config=str(config), facts=str(facts)))
    inputs_now = inputs.load_inputs(host, static, inputs.facts_of(static))
    return host, compose_intent(inputs_now, cached_network(host.state, inputs_now))


def test_the_first_that_answers_is_taken_and_remembered(node, pair):
    """A second run asks nobody, not even when the first proxy is there by then; the plan takes the
    same.
    """
    first, second = pair
    first.close()
    settings(node, first.url, second.url)
    node.apply()
    assert in_use(node) == second.url
    asked = second.asked
    code, out, err = node.run("plan")
    assert (code, out) == (0, ""), err
    node.apply()
    assert (in_use(node), second.asked) == (second.url, asked)


def test_refresh_and_other_settings_choose_anew(node, pair):
    """The owner's word, and another list or order, are a new choice."""
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


def test_a_plan_shows_what_apply_would_choose_and_keeps_nothing(node, pair):
    """With nothing remembered it asks as apply would, and leaves no trace."""
    first, second = pair
    first.close()
    settings(node, first.url, second.url)
    code, out, _ = node.run("plan")
    assert code == 3
    assert "+http_proxy=" + second.url in out
    assert not (node.root / STATE).exists()


def test_with_all_dead_the_first_is_used(node, pair):
    """And standard error says so, with what was found of each."""
    for proxy in pair:
        proxy.close()
    settings(node, pair[0].url, pair[1].url)
    code, _, err = node.run("apply")
    assert code == 0
    assert in_use(node) == pair[0].url
    assert "error: proxy.none_serves" in err
    assert err.count("Connection refused") == 2


def test_a_single_proxy_is_not_asked_before_docker_may_start(node, pair):
    """There is nothing to choose, so it costs no time."""
    settings(node, pair[0].url)
    node.apply()
    node.apply("--refresh")
    assert pair[0].asked == 0
    assert not (node.root / STATE).exists()


def test_nobody_is_asked_for_another_tree(elsewhere, pair):
    """An image builder's answers would be wrong: the first is used there, whatever somebody
    remembered in the tree.
    """
    settings(elsewhere, pair[0].url, pair[1].url)
    elsewhere.apply("--refresh")
    assert in_use(elsewhere) == pair[0].url
    assert proxies.check(*found(elsewhere)) == proxies.ProxyCheck(False, 600.0)
    assert pair[0].asked == pair[1].asked == 0


def test_revert_forgets_the_choice(node, pair):
    """Nothing of ours stays in /run."""
    settings(node, pair[0].url, pair[1].url)
    node.apply()
    assert (node.root / STATE).exists()
    node.revert()
    assert not (node.root / STATE).exists()


@pytest.mark.parametrize("spoilt", [b"", b"{", b"[]", b'{"choice": 7}', b'{"choice": {"urls": [1]}}', b"\xff\xfe"])
def test_a_spoilt_memory_is_no_memory(node, pair, spoilt):
    """Then the proxies are asked anew."""
    settings(node, "http://127.0.0.1:1", pair[1].url)
    node.write(STATE, spoilt)
    node.apply()
    assert in_use(node) == pair[1].url


def test_a_look_tells_status_json_how_the_proxies_are(node, pair):
    """All of them, also those that the choice did not wait for; and too soon after it there is
    none.
    """
    settings(node, pair[0].url, pair[1].url)
    node.apply()
    pair[1].close()
    last = found(node)
    look = proxies.check(*last)
    assert not look.changed
    assert 270 <= look.next_in <= 300
    status = json.loads(node.read(STATUS))
    shown = [(one["url"], one["up"], one["chosen"]) for one in status["proxies"]]
    assert shown == [(pair[0].url, True, True), (pair[1].url, False, False)]
    asked = pair[0].asked
    soon = proxies.check(*last)
    assert (soon.changed, pair[0].asked) == (False, asked)
    assert soon.next_in <= 300


def test_a_look_that_cannot_be_kept_harms_nobody(node, pair, capsys):
    """The daemon goes on, and the log says what is wrong."""
    settings(node, pair[0].url, pair[1].url)
    node.apply()
    (node.root / STATE).unlink()
    (node.root / STATE).mkdir()
    assert proxies.check(*found(node)) == proxies.ProxyCheck(False, 600.0)
    assert "proxy.look_failed" in capsys.readouterr().err
