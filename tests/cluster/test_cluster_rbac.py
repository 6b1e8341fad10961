"""packaging/examples/cluster-rbac.yaml: with exactly these rights everything works, and without any one of them something does not."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
import yaml

from tests.cluster.harness.control_plane import ControlPlane

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "packaging/examples/cluster-rbac.yaml"

SETTINGS = """\
[proxy]
url = "http://proxy.example.com:3128"
credentials_file = "{credentials}"

[cluster]
endpoint = "https://0123456789abcdef0123456789abcdef.gr7.eu-west-1.eks.amazonaws.com"

[vpc]
cidrs = ["10.0.0.0/16"]
"""


def rights(objects: List[Dict[str, Any]]) -> Iterator[Dict[str, Any]]:
    """One right after the other: where it stands, and verb and resource."""
    for number, one in enumerate(objects):
        for place, rule in enumerate(one.get("rules", ())):
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    yield {"object": number, "rule": place, "resource": resource, "verb": verb}


OBJECTS: List[Dict[str, Any]] = list(yaml.safe_load_all(MANIFEST.read_text()))
# Kubernetes 1.20 has no ServiceCIDR: nobody asks for it here.
RIGHTS = [right for right in rights(OBJECTS) if right["resource"] != "servicecidrs"]


def without(right: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The manifest's objects without one right."""
    objects = copy.deepcopy(OBJECTS)
    rules = objects[right["object"]]["rules"]
    rule = rules.pop(right["rule"])
    for resource in rule["resources"]:
        verbs = [verb for verb in rule["verbs"] if (resource, verb) != (right["resource"], right["verb"])]
        if verbs:
            rules.append({**rule, "resources": [resource], "verbs": verbs})
    return objects


class Operator:
    """A person of the manifest's group, with settings and the command."""

    def __init__(self, cluster: ControlPlane, folder: Path) -> None:
        """Write the settings, with a password and without."""
        self._cluster = cluster
        credentials = folder / "credentials"
        credentials.write_text("user:secret\n")
        credentials.chmod(0o600)
        self.plain, self.secret = folder / "plain.toml", folder / "secret.toml"
        text = SETTINGS.format(credentials=credentials)
        self.secret.write_text(text)
        self.plain.write_text("".join(line for line in text.splitlines(True) if "credentials" not in line))

    def run(self, action: str, config: Path, user: str = "proxy-operator") -> subprocess.CompletedProcess[str]:
        """One action of `cluster`."""
        command = [sys.executable, "-m", "agent", "cluster", action, "--kubeconfig", self._cluster.kubeconfig_for(user)]
        return subprocess.run(
            [*map(str, command), "--config", str(config)],
            cwd=ROOT,
            env=self._cluster.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def everything(self, config: Path) -> str:
        """plan, apply, verify and revert in a row: what the first that failed said. (A plan with changes ends with 3.)"""
        wanted = {"plan": 3, "apply": 0, "verify": 0, "revert": 0}
        for action, code in wanted.items():
            done = self.run(action, config)
            if done.returncode != code:
                return f"{action}: exit {done.returncode}: {done.stderr}"
        return ""


@pytest.fixture
def operator(add_ons: ControlPlane, tmp_path: Path) -> Iterator[Operator]:
    """An operator with exactly the rights of the manifest."""
    add_ons.kubectl("apply", "-f", str(MANIFEST))
    yield Operator(add_ons, tmp_path)
    add_ons.kubectl("delete", "-f", str(MANIFEST))


def test_the_manifest_is_enough(operator: Operator) -> None:
    """plan, apply, verify and revert succeed with these rights, with a password (a Secret) and without (a ConfigMap)."""
    assert operator.everything(operator.plain) == ""
    assert operator.everything(operator.secret) == ""


def test_the_smaller_group_can_verify_and_nothing_else(operator: Operator) -> None:
    """With the rights for verify alone, verify says the same as with all, and apply is forbidden."""
    assert operator.run("apply", operator.plain).returncode == 0
    assert operator.run("verify", operator.plain, "proxy-verifier").returncode == 0
    refused = operator.run("revert", operator.plain, "proxy-verifier")
    assert refused.returncode == 1
    assert "forbidden" in refused.stderr


@pytest.mark.parametrize("right", RIGHTS, ids=lambda right: f"{right['verb']}-{right['resource']}-{right['object']}")
def test_each_right_is_needed(operator: Operator, add_ons: ControlPlane, right: Dict[str, Any]) -> None:
    """Without this one right an action fails, and says what is forbidden."""
    objects = {"apiVersion": "v1", "kind": "List", "items": without(right)}
    add_ons.kubectl("apply", "-f", "-", input=json.dumps(objects))
    said = operator.everything(operator.secret if right["resource"] == "secrets" else operator.plain)
    assert "forbidden" in said
    assert right["resource"] in said
