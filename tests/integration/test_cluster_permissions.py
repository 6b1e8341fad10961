"""Permissions for the policy in packaging/examples: sufficient, and each of them necessary."""

from __future__ import annotations

import re

import yaml

from tests.integration.api_objects import Api
from tests.integration.command_line import REPOSITORY
from tests.integration.test_cluster_actions import Admin, api
from tests.integration.test_cluster_pod_ca import admin, on, samples

__all__ = ["admin", "api", "on", "samples"]  # the fixtures

#: Paths of requests → group, resource and name, as RBAC has them.
PATH = re.compile(
    r"/apis?/(?:(?P<group>[^/]+\.[^/]+|apps)/)?v1(?:/namespaces/([^/?]+)(?=/))?/(?P<resource>[^/?]+)(?:/(?P<name>[^/?]+))?"
)
EXAMPLE = REPOSITORY / "packaging/examples/cluster-rbac.yaml"


def needed(requests: list[str]) -> set[tuple[str, str, str, str]]:
    """Return verb, group, resource and name of each permission that requests use."""
    permissions = set()
    for request in requests:
        verb, target = request.split()[:2]
        if verb in ("patch", "restart"):
            permissions |= {(one, "apps", target.split("/")[1] + "s", "") for one in ("get", "patch")}
        elif verb == "create" and not target.startswith("/"):
            permissions.add(("create", "", "pods", ""))
        elif target != "/apis/admissionregistration.k8s.io/v1" and "servicecidrs" not in target:
            match = PATH.match(target)
            assert match, request
            name = match["name"] or target.partition("metadata.name%3D")[2]
            verbs = {"apply": ("create", "patch")}.get(verb, ("list" if not match["name"] and verb == "get" else verb,))
            permissions |= {(one, match["group"] or "", match["resource"], name) for one in verbs}
    return permissions


def granted() -> set[tuple[str, str, str, str]]:
    """Return the permissions of the roles for the policy."""
    return {
        (verb, group, resource, name)
        for obj in yaml.safe_load_all(EXAMPLE.read_text())
        if obj["metadata"]["name"].startswith("eks-proxy-agent-policy")
        for rule in obj.get("rules", [])
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }


def test_permissions_of_the_example_are_sufficient_and_necessary(admin: Admin, on: Api) -> None:
    """All but those that the API server asks for on its own: to read a policy's parameter."""
    requests: list[str] = []
    for flags in ((), (admin.password(),)):
        for action in (("plan",), ("apply", "--rollout"), ("verify",), ("revert",)):
            assert admin.run(*action, *flags[: action[0] != "revert"]).code in (0, 3)
            requests += on.requests
    for path, obj in on.objects.items():
        if "/pods/" in path:
            obj["spec"].pop("volumes", None)
    admin.run("revert")  # now the ConfigMaps of the CA too
    requests += on.requests
    others = {("get", "apps", "daemonsets", name) for name in ("aws-node", "kube-proxy", "app")}
    others |= {("get", "", "services", "kubernetes")}
    kinds = {(verb, "apps", kind, "") for verb in ("get", "patch") for kind in ("deployments", "statefulsets")}
    used = needed(requests) - others
    assert used | kinds | {("get", "", "configmaps", "")} == granted()
