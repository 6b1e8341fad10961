"""packaging/examples/cluster-rbac.yaml: with exactly these rights everything works, and without any one of them something does not."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
import yaml

from tests.cluster.administrator import Administrator
from tests.cluster.harness.control_plane import ControlPlane

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "packaging/examples/cluster-rbac.yaml"


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


def everything(operator: Administrator, *flags: str) -> str:
    """plan, apply, verify and revert in a row: what the first that failed said. (A plan with changes ends with 3.)"""
    for action, code in {"plan": 3, "apply": 0, "verify": 0, "revert": 0}.items():
        done = operator.run(action, *(() if action == "revert" else flags))
        if done.code != code:
            return f"{action}: exit {done.code}: {done.err}"
    return ""


@pytest.fixture
def operator(add_ons: ControlPlane, tmp_path: Path) -> Iterator[Administrator]:
    """Somebody with exactly the rights of the manifest."""
    add_ons.kubectl("apply", "-f", str(MANIFEST))
    yield Administrator(add_ons, tmp_path, "proxy-operator")
    add_ons.kubectl("delete", "-f", str(MANIFEST))


def test_the_manifest_is_enough(operator: Administrator) -> None:
    """plan, apply, verify and revert succeed with these rights, with a password (a Secret) and without (a ConfigMap)."""
    assert everything(operator) == ""
    assert everything(operator, operator.password("user:secret")) == ""


def test_the_smaller_group_can_verify_and_nothing_else(operator: Administrator, tmp_path: Path) -> None:
    """With the rights for verify alone, verify says the same as with all, and revert is forbidden."""
    operator.apply()
    verifier = Administrator(operator.control_plane, tmp_path, "proxy-verifier")
    assert verifier.run("verify").code == 0
    refused = verifier.run("revert")
    assert refused.code == 1
    assert "forbidden" in refused.err


@pytest.mark.parametrize("right", RIGHTS, ids=lambda right: f"{right['verb']}-{right['resource']}-{right['object']}")
def test_each_right_is_needed(operator: Administrator, add_ons: ControlPlane, right: Dict[str, Any]) -> None:
    """Without this one right an action fails, and says what is forbidden."""
    objects = {"apiVersion": "v1", "kind": "List", "items": without(right)}
    add_ons.kubectl("apply", "-f", "-", input=json.dumps(objects))
    said = everything(operator, *([operator.password("user:secret")] if right["resource"] == "secrets" else []))
    assert "forbidden" in said
    assert right["resource"] in said
