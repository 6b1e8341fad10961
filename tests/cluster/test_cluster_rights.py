"""The rights that packaging/examples ships: enough for everything, and none too many."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.administrator import Administrator
from tests.cluster.harness.control_plane import ControlPlane

EXAMPLE = Path(__file__).parents[2] / "packaging/examples/cluster-rbac.yaml"
#: Verb, namespace, group, resource and name.
Right = tuple[str, str, str, str, str]
VERBS = {"PATCH": "patch", "POST": "create", "DELETE": "delete", "PUT": "update"}
#: Which kubectl asked for what and was not refused: -v=6 logs each request.
REQUEST = re.compile(r"\] (GET|PATCH|POST|DELETE|PUT) https://[^/]+(/[^? ]+)\S* (?!403)\d+ ")
PATH = re.compile(r"/apis?/(?:(?P<group>[^/]+\.[^/]+|apps)/)?v1(?:beta1)?(?:/namespaces/([^/]+))?/([^/]+)(?:/([^/]+))?")


def given(text: str) -> set[Right]:
    """The rights in a manifest."""
    found = set()
    for one in yaml.safe_load_all(text):
        for rule in one.get("rules", []):
            for verb in rule["verbs"]:
                for resource in rule["resources"]:
                    for name in rule.get("resourceNames", [""]):
                        where = one["metadata"].get("namespace", "")
                        found.add((verb, where, rule["apiGroups"][0], resource, name))
    return found


def used(log: str) -> set[Right]:
    """The rights that requests stand for; discovery is everybody's."""
    found = set()
    for method, path in REQUEST.findall(log):
        match = PATH.fullmatch(path)
        if match is not None:
            group, namespace, resource, name = (part or "" for part in match.groups())
            verb = VERBS.get(method, "get" if name else "list")
            found.add((verb, namespace, group, resource, name))
    return found


@pytest.fixture
def operator(add_ons: ControlPlane, tmp_path: Path) -> Iterator[Administrator]:
    """Somebody with exactly the rights of the example."""
    text = EXAMPLE.read_text().replace("kind: Group, name: eks-proxy-agent}", "kind: User, name: operator}")
    add_ons.kubectl("apply", "-f", "-", input=text)
    made = Administrator(add_ons, tmp_path, "operator")
    yield made
    add_ons.kubectl("delete", "-f", "-", input=text)


def write_down(operator: Administrator) -> None:
    """Have the operator's kubectl write down what it asks; its errors come with stack traces
    then.
    """
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


def test_the_example_is_enough_and_no_right_too_many(operator: Administrator) -> None:
    """Everything works with these rights, with a ConfigMap and with a Secret, and each of them was
    needed.
    """
    write_down(operator)
    secret = operator.password("user:password")
    codes: dict[str, int] = {}
    for flags in ((), (secret,)):
        for action in ("service-cidr", "plan", "apply", "plan", "verify"):
            done = operator.run(action, *(flags if action != "service-cidr" else ()))
            codes[f"{action} {flags} {len(codes)}"] = done.code
            assert done.code in (0, 3), done.both
    assert list(codes.values()) == [0, 3, 0, 0, 0] * 2
    # The other kind goes when apply changes it, and with revert.
    operator.apply()
    operator.apply(secret)
    reverted = operator.run("revert")
    assert reverted.code == 0
    for kind in ("ConfigMaps", "Secrets"):  # to look there takes more
        assert f"note: looking for {kind} of other namespaces: kubectl says: " in reverted.err
    # A server-side apply that creates needs the right to create as well: the next test.
    asked = used((operator.directory / "log").read_text())
    created = {(verb, *rest) for verb, *rest in given(EXAMPLE.read_text()) if verb == "create"}
    assert asked | created == given(EXAMPLE.read_text())


def test_to_create_is_a_right_of_its_own(operator: Administrator) -> None:
    """Without it the first apply ends before it changes anything, and says so."""
    text = EXAMPLE.read_text().replace("kind: Group, name: eks-proxy-agent}", "kind: User, name: operator}")
    operator.control_plane.kubectl("apply", "-f", "-", input=text.replace("[create, patch, delete]", "[patch, delete]"))
    original = operator.specs()
    done = operator.run("apply")
    assert done.code == 1
    assert (
        "trying to apply kube-system/configmap/proxy-environment-variables: kubectl says: Error from server (Forbidden)"
        in done.err
    )
    assert "hint: a right is missing, perhaps that to create it" in done.err
    assert operator.specs() == original


def test_who_may_not_see_secrets_gives_a_config_map(operator: Administrator) -> None:
    """Without a password the rights on Secrets may be left out."""
    text = EXAMPLE.read_text().replace("kind: Group, name: eks-proxy-agent}", "kind: User, name: operator}")
    operator.control_plane.kubectl("apply", "-f", "-", input=text.replace("[configmaps, secrets]", "[configmaps]"))
    operator.apply()
    assert operator.run("verify").code == 0
    assert operator.run("revert").code == 0


def test_to_look_takes_less(operator: Administrator) -> None:
    """Who has the role of verify alone can verify, and changes nothing."""
    operator.apply()
    text = EXAMPLE.read_text().replace("kind: Group, name: eks-proxy-agent-verify}", "kind: User, name: nobody}")
    operator.control_plane.kubectl("apply", "-f", "-", input=text)
    operator.kubeconfig = operator.control_plane.kubeconfig_for("nobody")
    assert operator.run("verify").code == 0
    refused = operator.run("revert")
    assert refused.code == 1
    assert "this right is missing: patch daemonsets.apps" in refused.err
