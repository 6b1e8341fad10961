"""The dashboard and the rules on a real Prometheus, with twenty nodes and one without the agent."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent.core.status.counters import Counters
from agent.core.status.document import StatusDocument
from agent.core.status.metrics import render
from agent.core.status.timestamps import format_timestamp
from tests.integration.command_line import REPOSITORY
from tests.integration.moods import free_port

pytestmark = pytest.mark.xdist_group("fleet")
DASHBOARD = json.loads((REPOSITORY / "packaging/grafana/eks-proxy-agent.json").read_text())
RULES = REPOSITORY / "packaging/alerts/eks-proxy-agent.rules.yml"
ONE, TWO = "http://one.corp:3128", "http://two.corp:3128"
DNF = "/etc/dnf/dnf.conf"
NOW = time.time()
HOUR, DAY = 3600.0, 86400.0


def moment(seconds: float) -> str:
    """A timestamp of status.json, so many seconds from now."""
    return format_timestamp(NOW + seconds)


def proxies(*up: bool) -> list[dict[str, Any]]:
    """Both proxies, with the result of their last health check."""
    return [
        {"url": url, "up": is_up, "latency_seconds": 0.02 if is_up else None, "chosen": url == ONE, "text": ""}
        for url, is_up in zip((ONE, TWO), up)
    ]


HEALTHY: dict[str, Any] = {
    "schema": 1,
    "version": "1.2.3",
    "phase": "configured",
    "updated": moment(-60),
    "last_success": moment(-60),
    "next_pass": moment(500),
    "instance_id": "i-0a1b2c3d4e5f60718",
    "region": "eu-central-1",
    "intent": "349dd264e6c3",
    "files": [DNF, "/etc/systemd/system/docker.service.d/zz-eks-proxy.conf"],
    "stale_units": [],
    "repairs": {"total": 0, "fought": []},
    "proxies": proxies(True, True),
    "preflight": {"ok": True, "kind": "ok", "text": "", "at": moment(-HOUR)},
    "kept_flags": 0,
    "ca_not_after": moment(900 * DAY),
    "counters": Counters().to_json(),
}
#: What the nodes have that are not healthy.
FAULTS: dict[str, dict[str, Any]] = {
    "never": {"phase": "degraded", "error": "x", "last_success": None, "intent": None},
    "degraded": {"phase": "degraded", "error": "x", "last_success": moment(-3 * HOUR)},
    "unconfigured": {"phase": "unconfigured", "intent": None, "proxies": [], "preflight": None, "ca_not_after": None},
    "overdue": {"next_pass": moment(-HOUR)},
    "stale": {"stale_units": ["docker.service"]},
    "contested": {"repairs": {"total": 5, "fought": [DNF]}},
    "cut-off": {"proxies": proxies(False, False)},
    "half": {"proxies": proxies(True, False)},
    "other": {"intent": "0123456789ab"},
    "expiring": {"ca_not_after": moment(5 * DAY)},
    "preflight": {"preflight": {"ok": False, "kind": "dns", "text": "", "at": moment(-HOUR)}},
    "kept": {"kept_flags": 2},
}
NODES = [
    *(f"healthy-{number}" for number in range(20 - len(FAULTS) - 3)),
    *FAULTS,
    "unstable",
    "restarting",
    "flapping",
]
#: Counters that grow by so many events with each scrape.
EVENTS: dict[str, Mapping[str, Any]] = {
    "unstable": {"passes": {"degraded": 9}, "failures": {"metadata": 9}},  # and UNSTABLE
    "restarting": {"restarts": {"failed": 1}},
    "flapping": {"failovers": 9},
}
#: In its first scrapes the phase of "unstable" alternates: 7 changes.
UNSTABLE = 8
#: node_exporter runs on it, and the agent does not.
BARE = "bare"
#: The address of BARE, which a healthy node of the other cluster has too.
REPEATED = "healthy-0"


def document(name: str, scrape: int) -> StatusDocument:
    """The status of a node at its n-th scrape."""
    counters = Counters().to_json()
    for key, events in EVENTS.get(name, {}).items():
        if isinstance(events, int):
            counters[key] += events * scrape
        else:
            counters[key].update({label: count * scrape for label, count in events.items()})
    phase = "degraded" if name == "unstable" and scrape < UNSTABLE and scrape % 2 else "configured"
    return StatusDocument.from_json({**HEALTHY, "phase": phase, **FAULTS.get(name, {}), "counters": counters})


class Fleet(BaseHTTPRequestHandler):
    """Serves the metrics of each node at its name, as its node_exporter would."""

    scrapes: dict[str, int]

    def do_GET(self) -> None:
        """Respond with the metrics of a node."""
        name = self.path.strip("/")
        self.scrapes[name] = self.scrapes.get(name, 0) + 1
        text = 'node_exporter_build_info{version="1.9.0"} 1\n'
        if name != BARE:
            text += render(document(name, self.scrapes[name]), "3.9.25")
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Be silent."""


class Prometheus:
    """A running Prometheus."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get(self, path: str, **parameters: str) -> Any:
        """Return the `data` of a response of the API."""
        url = f"http://{self._address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as response:
            answer = json.loads(response.read())
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query."""
        samples: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return samples


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus with the packaged rules, after UNSTABLE scrapes of each node."""
    directory = tmp_path_factory.mktemp("prometheus")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("", (Fleet,), {"scrapes": {}}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    target = "{}:{}".format(*server.server_address[:2])
    addresses = {**{name: name for name in NODES}, BARE: REPEATED}
    nodes = [
        {"targets": [target], "labels": {"instance": address, "cluster": cluster(name), "__metrics_path__": "/" + name}}
        for name, address in addresses.items()
    ]
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "node", "static_configs": nodes}],
    }
    (directory / "prometheus.yml").write_text(json.dumps(configuration))
    address = "{}:{}".format(*free_port("127.0.0.1"))
    program = shutil.which("prometheus")
    assert program, "Debian's package prometheus is missing (make setup)"
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={directory}/prometheus.yml",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield ready(Prometheus(address), process, directory / "log")
    finally:
        process.terminate()
        process.wait(30)
        server.shutdown()
        server.server_close()


def ready(prometheus: Prometheus, process: subprocess.Popen[bytes], log: Path) -> Prometheus:
    """Wait until each node was scraped often enough, and each rule was evaluated after that."""
    deadline = time.monotonic() + 60
    scraped = f"count(count_over_time(node_exporter_build_info[1m]) >= {UNSTABLE}) == {len(NODES) + 1}"
    recorded = "cluster_category:eks_proxy_agent_failures:rate1h > 0"
    while True:
        with contextlib.suppress(OSError):
            if all(map(prometheus.query, (scraped, recorded))) and "unstable" in (
                firing(prometheus, "EksProxyAgentUnstable") - firing(prometheus, "EksProxyAgentDegraded")
            ):
                return prometheus
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def cluster(name: str) -> str:
    """The cluster of a node; a third of the nodes are in another one."""
    return "green" if name in (*list(FAULTS)[6:], BARE) else "blue"


def firing(prometheus: Prometheus, alert: str) -> set[str]:
    """The nodes (or clusters) for which an alert is pending or fires."""
    alerts = prometheus.get("alerts")["alerts"]
    labels = [entry["labels"] for entry in alerts if entry["labels"]["alertname"] == alert]
    return {entry.get("instance") or entry["cluster"] for entry in labels}


# --- dashboard ------------------------------------------------------------------------------------

PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}
#: What each table shows: (node, a label).
TABLES = {
    "Degraded nodes": {("never", "degraded"), ("degraded", "degraded")},
    "Overdue nodes": {("overdue", "")},
    "Failed preflights": {("preflight", "")},
    "Units to restart": {("stale", "docker.service")},
    "Files under dispute": {("contested", DNF)},
    "Proxies down": {("cut-off", ONE), ("cut-off", TWO), ("half", TWO)},
    "CA certificates": {("expiring", "")},
    "Kept flags": {("kept", "")},
    "Versions": {("", "1.2.3")},
}
#: What each number shows.
NUMBERS = {
    "Overdue daemons": 1,
    "Nodes without metrics": 1,
    "Stale units": 1,
    "Contested files": 1,
    "Nodes without a proxy that is up": 1,
}
#: What each series or bar shows: its labels and whether its value is more than zero.
SERIES = {
    "Nodes by phase": {("configured", True), ("unconfigured", True), ("degraded", True)},
    "Nodes per Intent": {("blue 349dd264e6c3", True), ("green 349dd264e6c3", True), ("green 0123456789ab", True)},
    "Proxies up": {(ONE, True), (TWO, True)},
    "Latency of the proxies": {(ONE, True), (TWO, True)},
    "Failures": {(name, name == "metadata") for name in Counters().failures},
    "Failovers, repairs and restarts": {
        *(("", is_more) for is_more in (False, True)),
        *((name, name == "failed") for name in Counters().restarts),
    },
    "CA expires in": {("", True)},
}


def interpolated(expression: str) -> str:
    """A query as Grafana sends it with "All" in each variable."""
    for variable in DASHBOARD["templating"]["list"][1:]:
        expression = expression.replace("$" + variable["name"], variable["allValue"])
    assert "$" not in expression
    return expression


def samples(prometheus: Prometheus, title: str) -> list[dict[str, Any]]:
    """The samples of all queries of a panel, each of which has data."""
    found = []
    for target in PANELS[title]["targets"]:
        answer = prometheus.query(interpolated(target["expr"]))
        assert answer, target["expr"]
        found += answer
    return found


def test_each_panel_has_its_expectation() -> None:
    """No panel is without one, and no expectation without its panel."""
    assert sorted([*TABLES, *NUMBERS, *SERIES]) == sorted(PANELS)
    assert len(PANELS) == len(DASHBOARD["panels"])
    assert len(NODES) == len(set(NODES)) == 20


@pytest.mark.parametrize("title", TABLES)
def test_a_table_shows_exactly_the_faulty_nodes(prometheus: Prometheus, title: str) -> None:
    """Each with the unit, the file or the proxy."""
    labels = [sample["metric"] for sample in samples(prometheus, title)]
    names = ("phase", "unit", "path", "proxy", "version")
    shown = {(row.get("instance", ""), next((row[name] for name in names if name in row), "")) for row in labels}
    assert shown == TABLES[title]
    assert len(labels) == len(shown)


@pytest.mark.parametrize("title", NUMBERS)
def test_a_number_counts_the_faulty_nodes(prometheus: Prometheus, title: str) -> None:
    """It is one value."""
    assert [float(sample["value"][1]) for sample in samples(prometheus, title)] == [NUMBERS[title]]


@pytest.mark.parametrize("title", SERIES)
def test_a_graph_has_its_series(prometheus: Prometheus, title: str) -> None:
    """By phase, hash, proxy, category or result."""
    shown = {
        (" ".join(sample["metric"].values()), float(sample["value"][1]) > 0) for sample in samples(prometheus, title)
    }
    assert shown == SERIES[title]


def test_the_variables_have_values(prometheus: Prometheus) -> None:
    """Each query of a variable names a label that the metrics have."""
    for variable in DASHBOARD["templating"]["list"][1:]:
        series, _, label = variable["query"]["query"].removeprefix("label_values(").removesuffix(")").rpartition(", ")
        values = prometheus.get(f"label/{label}/values", **{"match[]": interpolated(series)})
        assert sorted(values) == sorted({"cluster": {"blue", "green"}, "instance": set(NODES)}[variable["name"]])


# --- rules ----------------------------------------------------------------------------------------

#: The nodes (or clusters) for which each alert is pending or fires.
ALERTS = {
    "EksProxyAgentAbsent": {REPEATED},
    "EksProxyAgentOverdue": {"overdue"},
    "EksProxyAgentDegraded": {"never", "degraded"},
    "EksProxyAgentNeverConfigured": {"never"},
    "EksProxyAgentNoSuccess": {"degraded"},
    "EksProxyAgentUnitStale": {"stale"},
    "EksProxyAgentFileFoughtOver": {"contested"},
    "EksProxyAgentProxyDown": {"cut-off", "half"},
    "EksProxyAgentAllProxiesDown": {"cut-off"},
    "EksProxyAgentPreflightFailed": {"preflight"},
    "EksProxyAgentSeveralIntents": {"green"},
    "EksProxyAgentUnstable": {"unstable"},
    "EksProxyAgentRestartFailed": {"restarting"},
    "EksProxyAgentFailoverFlapping": {"flapping"},
    "EksProxyAgentCaExpires": {"expiring"},
}


def test_each_rule_is_evaluated_without_an_error(prometheus: Prometheus) -> None:
    """Each alert is that of exactly the faulty nodes, and each recording rule has data."""
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"} == {}
    alerts = {rule["name"] for rule in rules if rule["type"] == "alerting"}
    assert {name: firing(prometheus, name) for name in alerts} == ALERTS
    recorded = [rule["name"] for rule in rules if rule["type"] == "recording"]
    assert recorded
    assert [name for name in recorded if not prometheus.query(name)] == []
