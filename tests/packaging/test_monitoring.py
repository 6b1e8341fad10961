"""What other monitoring programs are given: the dashboard, values of a chart, a plugin."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from agent.core.status.document import StatusDocument
from agent.core.status.metrics import render
from tests.integration.command_line import PROXY, Node
from tests.integration.test_metrics import FULL, node_exporter, samples

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "packaging/examples"
DASHBOARD = ROOT / "packaging/grafana/eks-proxy-agent.json"
PLUGIN = EXAMPLES / "node-problem-detector/eks-proxy-agent.sh"

# --- Grafana
# -------------------------------------------------------------------------------------------------


def missing(written, known, place=""):
    """Return the places of a JSON document that another one lacks, or where it differs."""
    if isinstance(written, dict) and isinstance(known, dict):
        lacking = [f"{place}/{key}" for key in written if key not in known]
        return lacking + [
            line for key in written if key in known for line in missing(written[key], known[key], f"{place}/{key}")
        ]
    if isinstance(written, list) and isinstance(known, list) and len(written) == len(known):
        return [line for number, pair in enumerate(zip(written, known)) for line in missing(*pair, f"{place}/{number}")]
    return [] if written == known else [place]


def known_to_grafana(dashboard):
    """Return a dashboard after a round trip through the types of Grafana's schema.

    They drop a key that they do not know, also one of a panel's options or of its query.
    """
    pytest.importorskip("grafana_foundation_sdk", reason="grafana-foundation-sdk needs Python 3.11")
    from grafana_foundation_sdk.cog import encoder, plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()
    return json.loads(encoder.JSONEncoder().encode(Dashboard.from_json(dashboard)))


def test_grafana_knows_every_key_of_the_dashboard():
    """The schema's types have each key; one with a spelling mistake is found."""
    dashboard = json.loads(DASHBOARD.read_text())
    assert missing(dashboard, known_to_grafana(dashboard)) == []
    dashboard["panels"][0]["options"]["colourMode"] = "value"
    dashboard["panels"][1]["targets"][0]["instance"] = True
    assert missing(dashboard, known_to_grafana(dashboard)) == [
        "/panels/0/options/colourMode",
        "/panels/1/targets/0/instance",
    ]


def test_the_dashboard_can_be_imported_anywhere():
    """It has its own uid, and no panel names a data source of one installation."""
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["uid"] == "eks-proxy-agent"
    assert "id" not in dashboard
    first, *queries = dashboard["templating"]["list"]
    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")
    panels = dashboard["panels"]
    targets = [target for panel in panels for target in panel["targets"]]
    assert {json.dumps(user["datasource"]) for user in [*queries, *panels, *targets]} == {
        '{"type": "prometheus", "uid": "${datasource}"}'
    }
    assert all(panel["description"] for panel in panels)


def test_panels_do_not_overlap():
    """Each has an id, and its own place in the 24 columns of the grid."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23


# --- node_exporter
# -------------------------------------------------------------------------------------------------


def test_node_exporter_of_the_chart_serves_the_metrics(tmp_path):
    """The real program gets the arguments of the values; the mount is made by a link."""
    values = yaml.safe_load((EXAMPLES / "node-exporter-values.yaml").read_text())["prometheus-node-exporter"]
    (mount,) = values["extraHostVolumeMounts"]
    assert set(mount) == {"name", "hostPath", "type", "mountPath", "readOnly"}
    (flag,) = values["extraArgs"]
    assert flag == f"--collector.textfile.directory={mount['mountPath']}"
    host, container = tmp_path / "host", tmp_path / "container"
    directory = host / mount["hostPath"].lstrip("/")
    directory.mkdir(parents=True)
    (directory / "eks_proxy_agent.prom").write_text(render(StatusDocument.from_json(FULL)))
    place = container / mount["mountPath"].lstrip("/")
    place.parent.mkdir(parents=True)
    place.symlink_to(directory)
    with node_exporter(place) as fetch:
        served = fetch()
    assert samples(render(StatusDocument.from_json(FULL))).items() <= served.items()
    assert served["node_textfile_scrape_error"] == 0


def test_the_chart_mounts_the_directory_of_the_package():
    """It is one of those that "auto" uses, and the one that the package creates."""
    values = yaml.safe_load((EXAMPLES / "node-exporter-values.yaml").read_text())["prometheus-node-exporter"]
    path = values["extraHostVolumeMounts"][0]["hostPath"]
    assert f"%global metrics {os.path.dirname(path)}\n" in (ROOT / "rpm.spec").read_text()
    assert f'"$root{path}"' in (ROOT / "packaging/install.sh").read_text()


# --- node-problem-detector
# -------------------------------------------------------------------------------------------------

#: The keys that its Go types read (pkg/custompluginmonitor/types, pkg/types): (required, optional).
KEYS = {
    "": ({"plugin", "source", "conditions", "rules"}, {"pluginConfig", "metricsReporting"}),
    "pluginConfig": (
        set(),
        {"invoke_interval", "timeout", "max_output_length", "concurrency", "skip_initial_status"}
        | {"enable_message_change_based_condition_update"},
    ),
    "conditions": ({"type", "reason", "message"}, set()),
    "rules": ({"type", "reason", "path"}, {"condition", "args", "timeout"}),
}
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def seconds(duration):
    """Return a duration of Go (time.ParseDuration) in seconds."""
    assert re.fullmatch(r"([0-9]+(\.[0-9]+)?(ms|s|m|h))+", duration), duration
    return sum(
        float(number) * UNITS[unit] for number, _, unit in re.findall(r"([0-9]+(\.[0-9]+)?)(ms|s|m|h)", duration)
    )


def problems(config):
    """Yield what node-problem-detector refuses or ignores in a config of custom plugins."""
    settings = config.get("pluginConfig", {})
    tables = [("", config), ("pluginConfig", settings)]
    tables += [(name, table) for name in ("conditions", "rules") for table in config[name]]
    for name, table in tables:
        required, optional = KEYS[name]
        yield from (f"{name}: {key}: missing" for key in sorted(required - set(table)))
        yield from (f"{name}: {key}: unknown" for key in sorted(set(table) - required - optional))
    if config["plugin"] != "custom":
        yield "plugin: only custom"
    timeout = seconds(settings.get("timeout", "5s"))
    if timeout * len(config["rules"]) / settings.get("concurrency", 3) > seconds(
        settings.get("invoke_interval", "30s")
    ):
        yield "timeout: the rules do not end before they are due again"
    conditions = {condition["type"] for condition in config["conditions"]}
    for rule in config["rules"]:
        if rule["type"] not in ("temporary", "permanent"):
            yield f"{rule['reason']}: type"
        if rule["type"] == "permanent" and rule.get("condition") not in conditions:
            yield f"{rule['reason']}: condition without a default"
        if seconds(rule.get("timeout", "0s")) > timeout:
            yield f"{rule['reason']}: timeout above the global one"
        if not Path(rule["path"]).exists():
            yield f"{rule['reason']}: no such path"


@pytest.fixture
def config():
    """Return the config of the example."""
    return json.loads(PLUGIN.with_suffix(".json").read_text())


def test_node_problem_detector_accepts_the_config(config):
    """By the rules of its Go source, because neither a schema nor the program can be had here."""
    assert list(problems(config)) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"plugin": "kmsg"}, "plugin: only custom"),
        ({"pluginConfig": {"timeout": "60s", "invoke_interval": "30s"}}, "timeout: the rules do not end"),
        ({"pluginConfig": {"period": "30s"}}, "pluginConfig: period: unknown"),
        ({"conditions": []}, "ProxyCheckFailed: condition without a default"),
    ],
)
def test_the_rules_find_mistakes(config, change, problem):
    """Each of them would end node-problem-detector, or be ignored by it."""
    assert any(line.startswith(problem) for line in problems({**config, **change}))


def test_each_group_is_in_one_condition(config):
    """Each group of `check` belongs to one rule, and the script to both."""
    from agent.checks.runner import GROUPS

    scripts = {rule["args"][0] for rule in config["rules"]}
    assert [os.path.basename(name) for name in scripts] == [PLUGIN.name]
    assert sorted(group for rule in config["rules"] for group in rule["args"][1:]) == sorted(
        group.name for group in GROUPS
    )


@pytest.fixture
def node(tmp_path):
    """Return a configured tree, and the agent on PATH, which uses that tree."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[node]\nunits = ["docker"]\n')
    assert node.main("apply").code == 0
    agent(tmp_path, f'PYTHONPATH={ROOT} exec {sys.executable} -m agent "$@" --root {node.root} --facts {node.facts}')
    return node


def agent(directory, command):
    """Put a program with the agent's name on the PATH of the plugin."""
    path = directory / "bin/eks-proxy-agent"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)


def run(directory, *groups):
    """Run the plugin as node-problem-detector does; return exit code and stripped stdout."""
    environment = {"PATH": f"{directory}/bin:/usr/bin:/bin"}
    done = subprocess.run(
        ["/bin/sh", PLUGIN, *groups], env=environment, capture_output=True, check=False, text=True, timeout=60
    )
    return done.returncode, done.stdout.strip()


def test_a_healthy_node_is_ok(node, tmp_path):
    """`check` returns 0."""
    assert run(tmp_path, "settings", "files") == (0, "no problem found")


def test_a_file_that_differs_is_a_problem(node, tmp_path):
    """`check` returns 3."""
    node.write("etc/environment", b"http_proxy=http://other:1\n")
    assert node.main("check", "--only", "files").code == 3
    code, text = run(tmp_path, "settings", "files")
    assert (code, text.startswith("files /etc/environment: ")) == (1, True)


def test_what_apply_cannot_repair_is_a_problem(node, tmp_path):
    """`check` returns 1; two failures are on one line."""
    node.write("usr/bin/dnf", b"")
    (node.root / "etc/yum.conf").unlink()
    node.write("etc/yum.conf", b"[main]\n")
    node.write("etc/environment", b"http_proxy=http://other:1\n")
    assert node.main("check", "--only", "files", "--only", "packages").code == 1
    code, text = run(tmp_path, "files", "packages")
    assert (code, text.count("\n")) == (1, 0)
    assert "packages /etc/yum.conf: not a link to /etc/dnf/dnf.conf any more" in text
    assert "; " in text


def test_wrong_settings_are_a_problem(node, tmp_path):
    """`check` returns 78."""
    node.settings("[proxy]\nurl = 5\n")
    assert node.main("check", "--only", "settings").code == 78
    code, text = run(tmp_path, "settings")
    assert (code, text.startswith("settings ")) == (1, True)
    assert "proxy.url" in text


@pytest.mark.parametrize("settings", ["[proxy]\nurl = 5\n", ""], ids=["invalid", "no proxy"])
def test_nothing_checked_is_unknown(node, tmp_path, settings):
    """With each check skipped, `check` returns 0, which says nothing about the files."""
    node.settings(settings)
    assert node.main("check", "--only", "files").code == 0
    code, text = run(tmp_path, "files", "units", "processes", "no-proxy", "packages", "elsewhere")
    assert (code, text.startswith("unknown: nothing could be checked: files all: ")) == (2, True), text


@pytest.mark.parametrize("state", ["ok", "warn"])
def test_one_checked_thing_among_skipped_ones_is_a_result(tmp_path, state):
    """A group may have nothing to check on this node; a word of a hint is not a state."""
    agent(tmp_path, f"echo 'skip  units      all: no systemd'; echo '{state:<4}  files      /etc/a: x'")
    assert run(tmp_path, "units", "files") == (0, "no problem found")
    agent(tmp_path, f"echo 'skip  units      all: x'; echo '      > {state}  files'")
    assert run(tmp_path, "units", "files") == (2, "unknown: nothing could be checked: units all: x")


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("echo usage: no such group >&2; exit 2", "unknown: check ended with exit code 2"),
        ("echo Traceback >&2; exit 1", "unknown: Traceback"),
        ("kill -KILL $$", "unknown: check ended with exit code 137"),
        ("exec /nonexistent", "unknown: eks-proxy-agent is not installed on this node"),
    ],
)
def test_a_check_without_a_result_is_unknown(tmp_path, command, text):
    """It is not a problem of the proxy."""
    agent(tmp_path, command)
    assert run(tmp_path, "proxy") == (2, text)


def test_a_container_enters_the_namespaces_of_the_host(tmp_path):
    """Without the agent on PATH; a host without it, or no permission, is unknown."""
    code, text = run(tmp_path, "proxy")
    assert (code, text.startswith("unknown: ")) == (2, True)
    (tmp_path / "bin").mkdir(exist_ok=True)
    nsenter = tmp_path / "bin/nsenter"
    nsenter.write_text('#!/bin/sh\necho "fail  proxy      $*"; exit 1\n')
    nsenter.chmod(0o755)
    words = "--target 1 --mount --net -- eks-proxy-agent check --only proxy --only direct"
    assert run(tmp_path, "proxy", "direct") == (1, f"proxy {words}")
