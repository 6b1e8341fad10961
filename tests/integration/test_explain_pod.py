"""`explain --pod`: the variables of each container of a pod in memory, and the routes with them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from agent.commands import explain_pod
from tests import troubleshooting
from tests.integration.api_objects import FORBIDDEN, NAME, Api
from tests.integration.command_line import Outcome, main

PROXY = "http://proxy.example.com:3128"
NO_PROXY = "localhost,127.0.0.1,169.254.169.254,.svc,example.com"
DATA = {
    name: value
    for key, value in (("http_proxy", PROXY), ("https_proxy", PROXY), ("no_proxy", NO_PROXY))
    for name in (key, key.upper())
}
REFERENCE = {"configMapRef": {"name": NAME}}
POD = "/api/v1/namespaces/shop/pods/web-0"
TARGET = "https://www.example.com"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    """A cluster with our ConfigMap in the namespace shop."""
    api = Api()
    monkeypatch.setattr(explain_pod, "kubectl_of", lambda arguments, settings: api)
    add_object(api, "ConfigMap", NAME, DATA)
    return api


def add_object(api: Api, kind: str, name: str, data: dict[str, str], changed: str = "") -> None:
    """Add a ConfigMap or Secret."""
    fields = [{"manager": "m", "operation": "Update", "time": changed, "fieldsV1": {"f:data": {}}}]
    metadata = {"name": name, "namespace": "shop", "uid": "u", "managedFields": fields if changed else []}
    api.objects[f"/api/v1/namespaces/shop/{kind.lower()}s/{name}"] = {"kind": kind, "metadata": metadata, "data": data}


def add_pod(api: Api, *containers: dict[str, Any], **spec: Any) -> None:
    """Add the pod shop/web-0, which started on the first of January."""
    status = {"containerStatuses": [{"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}
    metadata = {"name": "web-0", "namespace": "shop"}
    api.objects[POD] = {
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [*containers], **spec},
        "status": status,
    }


def explain(*words: str) -> Outcome:
    """Run `explain --pod shop/web-0`."""
    return main("explain", "--pod", "shop/web-0", *words)


def test_containers_with_equal_variables_share_their_output(api: Api) -> None:
    """Each group has its variables with their origins, then the routes of every client."""
    own = {"name": "NO_PROXY", "value": ".svc"}
    add_pod(
        api,
        {"name": "web", "envFrom": [REFERENCE]},
        {"name": "log", "envFrom": [REFERENCE], "env": [own]},
        initContainers=[{"name": "setup", "envFrom": [REFERENCE]}],
    )
    done = explain(TARGET)
    assert done.code == 0
    assert done.out.splitlines()[:5] == [
        "pod shop/web-0: init container setup, container web",
        f"  HTTP_PROXY, http_proxy, HTTPS_PROXY, https_proxy (envFrom ConfigMap {NAME}): {PROXY}",
        f"  NO_PROXY, no_proxy (envFrom ConfigMap {NAME}): {NO_PROXY}",
        TARGET,
        f"  direct: example.com (envFrom ConfigMap {NAME})",
    ]
    assert "pod shop/web-0: container log\n" in done.out
    assert f"  NO_PROXY (env, overrides envFrom ConfigMap {NAME}): .svc\n" in done.out
    assert "note: variables of the image" in done.err


def test_nodejs_counts_only_if_it_reads_the_environment(api: Api) -> None:
    """Without NODE_USE_ENV_PROXY=1, fetch and http are direct, and no entry would change that."""
    add_pod(api, {"name": "web", "envFrom": [REFERENCE]})
    done = explain("https://quay.io")
    assert "  direct: NODE_USE_ENV_PROXY=1 is not set\n    Node.js fetch    undici\n" in done.out
    assert "clients disagree" not in done.out
    for variable in (
        {"name": "NODE_USE_ENV_PROXY", "value": "1"},
        {"name": "NODE_OPTIONS", "value": "-r x --use-env-proxy"},
    ):
        add_pod(api, {"name": "web", "envFrom": [REFERENCE], "env": [variable]})
        done = explain("https://quay.io")
        assert f"{variable['name']} (env): {variable['value']}\n" in done.out
        assert f"through {PROXY}, for every client\n" in done.out
    done = explain(TARGET)
    assert (
        f"  through {PROXY}\n    Node.js http     https\n    axios <1.15      proxy-from-env\n    axios >=1.20\n"
        in done.out
    )


def test_a_pod_without_variables_is_direct(api: Api) -> None:
    """NODE_OPTIONS without the option is not shown: it may hold anything."""
    add_pod(api, {"name": "web", "env": [{"name": "NODE_OPTIONS", "value": "--secret"}]})
    done = explain(TARGET)
    assert done.out.startswith("pod shop/web-0: container web\n  no proxy variables\n")
    assert "direct: no proxy is set, for every client" in done.out
    assert "--secret" not in done.both


def test_the_troubleshooting_page_shows_a_pod_without_variables(api: Api) -> None:
    """The section about STS has this command and this output."""
    add_pod(api, {"name": "web"})
    command, *words = troubleshooting.command("pods-cannot-reach-sts")[1:]
    assert (command, words[:2]) == ("explain", ["--pod", "shop/web-0"])
    assert troubleshooting.difference("pods-cannot-reach-sts", explain(*words[2:]).out) == ""


def test_credentials_are_not_shown(api: Api) -> None:
    """Neither of a Secret nor of an env value; the URL remains."""
    url = "http://alice:s3cret@proxy.example.com:3128"
    add_object(api, "Secret", NAME, {"HTTPS_PROXY": base64.b64encode(url.encode()).decode()})
    add_pod(
        api, {"name": "web", "envFrom": [{"secretRef": {"name": NAME}}], "env": [{"name": "http_proxy", "value": url}]}
    )
    for flags in ([], ["--json"], ["--matrix"], ["--lint"]):
        done = explain(TARGET, *flags)
        assert "s3cret" not in done.both
        assert "proxy.example.com:3128" in done.out


def test_json_names_the_containers_of_each_object(api: Api) -> None:
    """One object has the variables, the others are those of `explain` for every client."""
    add_pod(api, {"name": "web", "envFrom": [REFERENCE]})
    first, *others = map(json.loads, explain(TARGET, "--json").out.splitlines())
    assert first["variables"]["no_proxy"] == {"value": NO_PROXY, "origin": f"envFrom ConfigMap {NAME}"}
    assert (first["pod"], first["containers"], first["problems"]) == ("shop/web-0", ["container web"], [])
    assert {"node-fetch", "node-http", "axios-old", "axios", "go", "java"} <= {item["client"] for item in others}
    assert all(item["containers"] == ["container web"] for item in others)


def test_a_changed_configmap_is_reported(api: Api) -> None:
    """A container has the values of its start."""
    add_object(api, "ConfigMap", NAME, DATA, changed="2026-02-01T00:00:00Z")
    add_pod(api, {"name": "web", "envFrom": [REFERENCE]})
    text = "changed at 2026-02-01T00:00:00Z, after the pod had started; a container has the values of its start"
    assert f"  ConfigMap {NAME}: {text}\n" in explain(TARGET).out


def test_missing_permission_leaves_the_values_unknown(api: Api) -> None:
    """The Secret is named, and what is known is explained."""
    api.failures = [("secrets/hidden", FORBIDDEN)]
    key = {"valueFrom": {"secretKeyRef": {"name": "hidden", "key": "url"}}}
    add_pod(api, {"name": "web", "envFrom": [REFERENCE], "env": [{"name": "HTTPS_PROXY", **key}]})
    done = explain(TARGET)
    assert f"  HTTPS_PROXY (env Secret hidden key url, overrides envFrom ConfigMap {NAME}): unknown\n" in done.out
    assert "  Secret hidden: you have no permission to read it, so its values are unknown\n" in done.out
    assert done.code == 0


def test_several_containers_share_the_lines_of_stdin(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad target is reported once, and the exit code is 1."""
    add_pod(api, {"name": "web", "envFrom": [REFERENCE]}, {"name": "log"})
    done = explain(TARGET, "ftp://x")
    assert (done.code, done.err.count("ftp"), done.out.count(TARGET + "\n")) == (1, 2, 2)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--no-proxy", "x"], 2, "--pod: not allowed with --no-proxy"),
        (["--planned"], 2, "--pod: not allowed with --planned"),
        (["--pod", "web-0"], 2, '--pod "web-0": expected NAMESPACE/NAME'),
        (["--pod", "shop/../x"], 2, "expected NAMESPACE/NAME"),
        (["--pod", "shop/none"], 1, "pod shop/none: not found in this cluster"),
    ],
)
def test_wrong_flags_and_an_absent_pod_are_errors(api: Api, words: list[str], code: int, text: str) -> None:
    """Nothing is requested for a name that cannot be a pod's."""
    done = explain(TARGET, *words)
    assert (done.code, text in done.err, done.out) == (code, True, "")


def test_all_clients_shows_nodejs_without_a_pod(tmp_path: Path) -> None:
    """Its fetch and http are shown as if NODE_USE_ENV_PROXY=1 was set; stderr says so."""
    done = main("explain", "--all-clients", "--root", str(tmp_path), "--proxy", PROXY, "--no-proxy", "corp", "x.corp")
    assert "Node.js http" in done.out
    assert "only with NODE_USE_ENV_PROXY=1" in done.err
