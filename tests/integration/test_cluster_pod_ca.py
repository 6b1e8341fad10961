"""cluster.ca_in_pods, on a cluster in memory that follows the policy's rule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cluster import pod_ca, policy
from agent.core.cluster.ca_policy import CA_DIRECTORY, CA_KEY, CA_NAME
from tests.integration import certificates
from tests.integration.api_objects import Api, daemon_set
from tests.integration.test_cluster_actions import Admin, api

__all__ = ["api"]  # the fixture

NAMESPACES = ("kube-system", "team")
CONFIG_MAPS = [f"{namespace}/configmap/{CA_NAME}" for namespace in NAMESPACES]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with certificates of every kind."""
    directory = tmp_path_factory.mktemp("certificates")
    certificates.make(directory)
    return directory


@pytest.fixture
def on(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """A cluster with the feature on; its namespace "team" has the label, and a DaemonSet."""
    api.policies = "on"
    api.add_namespace("team", **{"eks-proxy-agent_inject": "enabled"})
    api.add(daemon_set("app", namespace="team"))
    monkeypatch.setattr(policy, "PATIENCE", 0.0)
    return api


@pytest.fixture
def admin(tmp_path: Path, on: Api, samples: Path) -> Admin:
    """An administrator whose settings have a CA for pods."""
    admin = Admin(tmp_path, on)
    admin.config.write_text(
        admin.config.read_text().replace(
            "[cluster]", f'[cluster]\nca_in_pods = true\nca_base = "{samples}/Second CA.pem"'
        )
        + f'[node]\nca_bundle = "{samples}/Corp Proxy CA.pem"\n'
    )
    return admin


def config_map(on: Api, namespace: str) -> str:
    """Return the bundle of a namespace."""
    return str(on.objects[f"/api/v1/namespaces/{namespace}/configmaps/{CA_NAME}"]["data"][CA_KEY])


def test_each_chosen_namespace_gets_the_bundle(admin: Admin, on: Api, samples: Path) -> None:
    """The public CAs first, then the proxy's; new pods mount it and have its variables."""
    planned = admin.run("plan")
    assert f"{CONFIG_MAPS[1]} will be created\n  + {CA_KEY}: 2 certificates (sha256 " in planned.out
    assert f"mutatingadmissionpolicy/{CA_NAME} will be created" in planned.out
    assert admin.run("apply", "--rollout").code == 0
    both = [(samples / name).read_text().strip() for name in ("Second CA.pem", "Corp Proxy CA.pem")]
    for namespace in NAMESPACES:
        assert config_map(on, namespace).strip().split("\n-----END CERTIFICATE-----\n") == "\n".join(both).split(
            "\n-----END CERTIFICATE-----\n"
        )
    container = on.pod("app", "team")["spec"]["containers"][0]
    assert container["volumeMounts"][0]["mountPath"] == CA_DIRECTORY
    assert {"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "no_proxy"} <= {entry["name"] for entry in container["env"]}
    assert admin.run("verify").code == 0
    again = admin.run("apply")
    assert (again.code, again.out, on.writes()) == (0, "", [])


def test_a_new_bundle_is_a_change_that_restarts_nothing(admin: Admin, on: Api, samples: Path) -> None:
    """Kubelet updates the files; verify names pods that started before."""
    assert admin.run("apply", "--rollout").code == 0
    other = f"--set=cluster.ca_base={samples}/Expired CA.pem"
    verified = admin.run("verify", other)
    assert (verified.code, f"{CONFIG_MAPS[0]}: has other certificates than the settings" in verified.out) == (3, True)
    done = admin.run("apply", other)
    assert [line for line in done.out.splitlines() if CA_NAME in line] == [f"changed {name}" for name in CONFIG_MAPS]
    for namespace in NAMESPACES:
        entry = on.objects[f"/api/v1/namespaces/{namespace}/configmaps/{CA_NAME}"]["metadata"]["managedFields"][0]
        entry["time"] = "2026-02-01T00:00:00Z"
    done = admin.run("verify", other)
    assert (done.code, "started before the CA changed (2026-02-01T00:00:00Z)" in done.out) == (0, True)


def test_verify_names_a_namespace_without_the_config_map(admin: Admin, on: Api) -> None:
    """One that got its label after apply: its pods have the proxy, but no CA."""
    assert admin.run("apply", "--rollout").code == 0
    on.add_namespace("late", **{"eks-proxy-agent_inject": "enabled"})
    on.add(daemon_set("app", namespace="late"))
    done = admin.run("verify")
    assert (done.code, f"late/configmap/{CA_NAME}: not found" in done.out) == (3, True)
    assert admin.run("apply").out.splitlines() == [f"created late/configmap/{CA_NAME}"]
    done = admin.run("verify")
    assert (done.code, "late/pods: 1 pod: container app: was created without the CA" in done.out) == (3, True)


def test_switched_off_the_policy_goes_and_running_pods_keep_their_files(admin: Admin, on: Api) -> None:
    """revert deletes the ConfigMaps once no pod mounts them."""
    assert admin.run("apply", "--rollout").code == 0
    off = "--set=cluster.ca_in_pods=false"
    assert f"deleted mutatingadmissionpolicy/{CA_NAME}" in admin.run("apply", off).out
    assert config_map(on, "team")
    done = admin.run("revert")
    assert f"note: {CONFIG_MAPS[1]}: kept, because 1 pods mount it; run this again" in done.err
    for name, namespace in (("app", "team"), ("aws-node", "kube-system"), ("kube-proxy", "kube-system")):
        on.objects[f"/api/v1/namespaces/{namespace}/pods/{name}-0"]["spec"].pop("volumes")
    assert admin.run("revert").out.splitlines() == [f"deleted {name}" for name in CONFIG_MAPS]


def test_without_the_policy_pods_get_no_ca(admin: Admin, on: Api) -> None:
    """auto says so; with envFrom as the setting it is an error."""
    on.policies = "absent"
    done = admin.run("apply")
    assert "pods get no CA, because cluster.ca_in_pods requires the policy" in done.err
    assert admin.run("verify").code == 0
    done = admin.run("plan", '--set=cluster.injection="envFrom"')
    assert (done.code, 'cluster.ca_in_pods requires cluster.injection = "policy" or "auto"' in done.err) == (78, True)


@pytest.mark.parametrize(
    ("flag", "code", "text"),
    [
        ('--set=cluster.ca_base=""', 78, "cluster.ca_in_pods requires cluster.ca_base"),
        ('--set=node.ca_bundle=""', 78, "cluster.ca_in_pods requires node.ca_bundle"),
        ("--set=cluster.ca_base=/absent.pem", 1, "cluster.ca_base: /absent.pem: no such file"),
        ("--set=cluster.ca_base=SAMPLES/Second CA.key", 1, "contains a private key"),
        ("--set=cluster.ca_base=SAMPLES/leaf.corp.pem", 1, "not a CA certificate"),
    ],
)
def test_a_bundle_that_cannot_be_is_an_error(
    admin: Admin, on: Api, samples: Path, flag: str, code: int, text: str
) -> None:
    """It names the setting and the file; nothing is applied."""
    done = admin.run("apply", flag.replace("SAMPLES", str(samples)))
    assert (done.code, text in done.err) == (code, True), done.err
    assert on.writes() == []


def test_a_bundle_over_the_limit_is_an_error(admin: Admin, on: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ConfigMap takes 1 MiB."""
    monkeypatch.setattr(pod_ca, "MAX_BUNDLE", 1024)
    done = admin.run("apply")
    assert (done.code, "a ConfigMap takes 1 KiB" in done.err, on.writes()) == (1, True, [])


def test_json_has_no_certificates(admin: Admin) -> None:
    """The number and a digest are enough."""
    document = json.loads(admin.run("plan", "--json").out)
    assert document["injection"] == "policy"
    assert "BEGIN" not in json.dumps(document)


def test_render_writes_the_ca_too(admin: Admin, on: Api, tmp_path: Path) -> None:
    """A ConfigMap for each chosen namespace, and a policy of its own."""
    done = admin.run("render", "--inject", "--output", str(tmp_path / "out"))
    names = [line.rpartition("/")[2] for line in done.out.splitlines()]
    config_maps = [f"{namespace}-{CA_NAME}.yaml" for namespace in NAMESPACES]
    assert names == ["kube-system-configmap.yaml", "policy.yaml", *config_maps, "ca-policy.yaml"]
    assert (tmp_path / "out" / config_maps[1]).read_text().count("BEGIN CERTIFICATE") == 2
