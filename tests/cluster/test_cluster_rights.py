"""Permissions of packaging/examples: sufficient for every action, and all of them necessary."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.administrator import Administrator
from tests.cluster.harness.control_plane import ControlPlane

EXAMPLE = Path(__file__).parents[2] / "packaging/examples/cluster-rbac.yaml"
#: Verb, namespace, group, resource and name.
Permission = tuple[str, str, str, str, str]
VERBS = {"PATCH": "patch", "POST": "create", "DELETE": "delete", "PUT": "update"}
#: A request that kubectl logged (-v=6) and the server did not reject with 403.
REQUEST = re.compile(r"\] (GET|PATCH|POST|DELETE|PUT) https://[^/]+(/[^? ]+)\S* (?!403)\d+ ")
PATH = re.compile(r"/apis?/(?:(?P<group>[^/]+\.[^/]+|apps)/)?v1(?:beta1)?(?:/namespaces/([^/]+))?/([^/]+)(?:/([^/]+))?")


#: Roles for the policy, which Kubernetes 1.20 does not have (test_cluster_policy.py has them).
FOR_POLICY = "eks-proxy-agent-policy"


def example() -> str:
    """Return the example without the roles for the policy."""
    return "---\n".join(part for part in EXAMPLE.read_text().split("---\n") if f"name: {FOR_POLICY}" not in part)


def granted(text: str) -> set[Permission]:
    """Return the permissions of a manifest."""
    permissions = set()
    for obj in yaml.safe_load_all(text):
        for rule in obj.get("rules", []):
            for verb in rule["verbs"]:
                for resource in rule["resources"]:
                    for name in rule.get("resourceNames", [""]):
                        namespace = obj["metadata"].get("namespace", "")
                        permissions.add((verb, namespace, rule["apiGroups"][0], resource, name))
    return permissions


def used(log: str) -> set[Permission]:
    """Return the permissions that requests used, except discovery, which all users have."""
    permissions = set()
    for method, path in REQUEST.findall(log):
        match = PATH.fullmatch(path)
        if match is not None:
            group, namespace, resource, name = (part or "" for part in match.groups())
            verb = VERBS.get(method, "get" if name else "list")
            permissions.add((verb, namespace, group, resource, name))
    return permissions


@pytest.fixture
def operator(add_ons: ControlPlane, tmp_path: Path) -> Iterator[Administrator]:
    """Return a user with exactly the permissions of the example."""
    text = example().replace("kind: Group, name: eks-proxy-agent}", "kind: User, name: operator}")
    add_ons.kubectl("apply", "-f", "-", input=text)
    yield Administrator(add_ons, tmp_path, "operator")
    add_ons.kubectl("delete", "-f", "-", input=text)


def log_requests(operator: Administrator) -> None:
    """Let the operator's kubectl log its requests; its errors then include stack traces."""
    directory, programs = operator.directory, operator.control_plane.programs
    script = directory / "kubectl"
    script.write_text(f"""#!/bin/bash
{programs}/kubectl -v=6 "$@" 2>{directory}/stderr
code=$?
cat {directory}/stderr >>{directory}/log
grep -v '^[IW][0-9]' {directory}/stderr >&2
exit $code
""")
    script.chmod(0o755)
    operator.config.write_text(operator.config.read_text().replace("[cluster]", f'[cluster]\nkubectl = "{script}"'))


def test_permissions_of_the_example_are_sufficient_and_necessary(operator: Administrator) -> None:
    """Every action works with them, for a ConfigMap and for a Secret, and uses each of them."""
    log_requests(operator)
    secret = operator.password("user:password")
    codes: dict[str, int] = {}
    for flags in ((), (secret,)):
        for action in ("service-cidr", "plan", "apply", "plan", "verify"):
            done = operator.run(action, *(flags if action != "service-cidr" else ()))
            codes[f"{action} {flags} {len(codes)}"] = done.code
            assert done.code in (0, 3), done.both
    assert list(codes.values()) == [0, 3, 0, 0, 0] * 2
    # apply deletes the other kind after a change of kind; revert deletes both.
    operator.apply()
    operator.apply(secret)
    reverted = operator.run("revert")
    assert reverted.code == 0
    for kind in ("ConfigMaps", "Secrets"):  # listing these requires more permissions
        assert f"note: listing {kind} of other namespaces: kubectl: " in reverted.err
    # A server-side apply that creates an object also requires create: see the next test.
    requested = used((operator.directory / "log").read_text())
    create = {(verb, *rest) for verb, *rest in granted(example()) if verb == "create"}
    assert requested | create == granted(example())


def test_server_side_apply_needs_no_other_permission(operator: Administrator) -> None:
    """Its command works with the permissions of the example, and so does its revert."""
    original = operator.specs()
    done = operator.run("render", "--format", "ssa", "--output", str(operator.directory / "out"))
    assert done.code == 0, done.both
    (command,) = map(shlex.split, done.out.splitlines())
    applied = operator.control_plane.try_kubectl(*command[1:], user="operator")
    assert applied.returncode == 0, applied.stderr
    assert operator.run("revert").code == 0
    assert operator.specs() == original


def test_missing_create_permission_is_reported_before_any_change(operator: Administrator) -> None:
    """Without permission to create the ConfigMap, the first apply fails before any change."""
    text = example().replace("kind: Group, name: eks-proxy-agent}", "kind: User, name: operator}")
    operator.control_plane.kubectl("apply", "-f", "-", input=text.replace("[create, patch, delete]", "[patch, delete]"))
    original = operator.specs()
    done = operator.run("apply")
    assert done.code == 1
    doing = "dry run: applying kube-system/configmap/proxy-environment-variables"
    assert f"{doing}: kubectl: Error from server (Forbidden)" in done.err
    assert "hint: permission denied, perhaps for create" in done.err
    assert operator.specs() == original


def test_permissions_on_secrets_are_optional_without_a_password(operator: Administrator) -> None:
    """Without a password, apply, verify and revert need no permission to read Secrets."""
    text = example().replace("kind: Group, name: eks-proxy-agent}", "kind: User, name: operator}")
    operator.control_plane.kubectl("apply", "-f", "-", input=text.replace("[configmaps, secrets]", "[configmaps]"))
    operator.apply()
    assert operator.run("verify").code == 0
    assert operator.run("revert").code == 0


def test_verify_role_cannot_change_anything(operator: Administrator) -> None:
    """A user with only the role of verify can verify, but not revert."""
    operator.apply()
    text = example().replace("kind: Group, name: eks-proxy-agent-verify}", "kind: User, name: nobody}")
    operator.control_plane.kubectl("apply", "-f", "-", input=text)
    operator.kubeconfig = operator.control_plane.kubeconfig_for("nobody")
    assert operator.run("verify").code == 0
    rejected = operator.run("revert")
    assert rejected.code == 1
    assert "missing permission: patch daemonsets.apps" in rejected.err
