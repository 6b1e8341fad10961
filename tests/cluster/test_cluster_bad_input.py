"""Failures between an administrator and a cluster.

Each is a clear error, and changes nothing or reports the completed steps.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.administrator import CONFIG_MAP, Administrator, all_containers
from tests.cluster.api_proxy import ApiProxy, api_proxy, status
from tests.cluster.harness.control_plane import ControlPlane
from tests.cluster.harness.nodes import Nodes


@pytest.fixture
def admin(add_ons: ControlPlane, tmp_path: Path) -> Administrator:
    """Return the administrator of a cluster with new add-ons."""
    return Administrator(add_ons, tmp_path)


@pytest.fixture
def proxy(admin: Administrator) -> Iterator[ApiProxy]:
    """Put a proxy that can inject faults in front of the cluster."""
    with api_proxy(admin.control_plane, admin.directory) as running:
        admin.kubeconfig = running.kubeconfig
        yield running


def is_unchanged(admin: Administrator, original: str) -> bool:
    """Return True if the cluster is as before."""
    absent = admin.control_plane.try_kubectl("get", *CONFIG_MAP).returncode == 1
    return absent and admin.specs() == original


MISTAKES = [
    (["--set=cluster.kubectl=/nowhere/kubectl"], "/nowhere/kubectl: not found, or not executable"),
    (["--set=cluster.kubectl=no-such-kubectl"], "hint: install kubectl, or set cluster.kubectl"),
    (["--context=nope"], "hint: to list the contexts: kubectl config get-contexts"),
    (["--kubeconfig=/nonexistent"], "hint: set --kubeconfig or KUBECONFIG to a readable file"),
    (["--kubeconfig=DIRECTORY/garbage"], 'error loading config file "DIRECTORY/garbage"'),
    (["--kubeconfig=DIRECTORY"], "is a directory"),
    (["--kubeconfig=AWAY"], "The connection to the server 127.0.0.1:1 was refused"),
    (["--kubeconfig=STRANGER"], "hint: the cluster rejected your credentials"),
    (["--kubeconfig=NOBODY"], 'User "nobody" cannot get resource "services"'),
    (["--kubeconfig=NOBODY"], 'hint: missing permission: get services in namespace "default"'),
    (['--set=cluster.workloads=["kube-system/daemonset/no", "a/deployment/b"]'], "no, a/deployment/b"),
    (["--set=vpc.cidrs=auto", "--set=metadata.deadline=1"], "hint: set vpc.cidrs (in the settings or with --set)"),
    (["--facts=/nonexistent"], "/nonexistent: cannot be read"),
    (["--from-node=DIRECTORY/garbage"], "DIRECTORY/garbage: not the status of a configured node"),
    (["--set=cluster.endpoint="], "hint: set cluster.endpoint to the https:// URL that the nodes use"),
    (["--set=cluster.workloads=[5]"], "cluster.workloads"),
]


def test_bad_input_is_reported_before_anything_is_written(admin: Administrator) -> None:
    """Each of these fails apply with the problem and a hint, and the cluster is unchanged."""
    original = admin.specs()
    (admin.directory / "garbage").write_text("foo: [")
    bed = admin.control_plane
    names = {"DIRECTORY": str(admin.directory), "NOBODY": str(bed.kubeconfig_for("nobody"))}
    for name, flag in (("AWAY", {"server": "https://127.0.0.1:1"}), ("STRANGER", {"token": "wrong"})):
        path = admin.directory / name
        path.write_text(bed.kubeconfig_for("admin", **flag).read_text())
        names[name] = str(path)
    wrong = []
    for flags, problem in MISTAKES:
        for name, value in names.items():
            flags, problem = [flag.replace(name, value) for flag in flags], problem.replace(name, value)
        done = admin.run("apply", *flags)
        if done.code != (78 if "[5]" in flags[0] else 1) or problem not in done.err or done.out:
            wrong.append((flags, problem, done))
    assert wrong == []
    assert is_unchanged(admin, original)


@pytest.mark.parametrize("response", ["null", "[]", "{}", "5", "<html>", "[" * 100_000, '{"kind": "Service"}'])
def test_invalid_response_is_reported(control_plane: ControlPlane, tmp_path: Path, response: str) -> None:
    """If kubectl prints something else than an API object, each action shows its beginning."""
    (tmp_path / "response").write_text(response)
    script = tmp_path / "kubectl"
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/response\n")
    script.chmod(0o755)
    admin = Administrator(control_plane, tmp_path)
    for action in ("service-cidr", "plan", "revert") if "kind" not in response else ("service-cidr", "plan"):
        done = admin.run(action, f"--set=cluster.kubectl={script}")
        assert (done.code, "Traceback" in done.err) == (1, False), done.err[-2000:]
        assert "the response is not" in done.err or "no cluster IP" in done.err
        assert len(done.err) < 500


def test_server_that_does_not_respond_times_out(admin: Administrator) -> None:
    """--request-timeout limits the wait for an API server that accepts connections only."""
    bed = admin.control_plane
    bed.processes["kube-apiserver"].pause()
    try:
        done = admin.run("service-cidr", "--request-timeout=2")
    finally:
        bed.processes["kube-apiserver"].resume()
    assert done.code == 1
    assert done.err.startswith("eks-proxy-agent: querying the service CIDR: kubectl: ")


def test_missing_kubeconfig_is_an_error_with_a_hint(admin: Administrator) -> None:
    """Without --kubeconfig and KUBECONFIG, and with an empty home, the hint names both."""
    admin.kubeconfig = None
    done = admin.run("service-cidr", env={"HOME": str(admin.directory)})
    assert done.code == 1
    assert "no kubeconfig found" in done.err


def test_kubeconfig_and_home_come_from_the_caller(admin: Administrator) -> None:
    """kubectl gets the administrator's KUBECONFIG, and an exec plugin the whole environment."""
    admin.kubeconfig, real = None, admin.control_plane.kubeconfig
    assert admin.run("service-cidr", env={"KUBECONFIG": str(real)}).out == "172.20.0.0/16\n"
    config = real.read_text().replace(
        f'token: "{admin.control_plane.tokens["admin"]}"',
        'exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: sh, args: ["-c", "echo $TEST_CREDENTIAL"]}',
    )
    path = admin.directory / "exec.kubeconfig"
    path.write_text(config)
    token = {"token": admin.control_plane.tokens["admin"]}
    credential = {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1beta1", "status": token}
    env = {"KUBECONFIG": str(path), "TEST_CREDENTIAL": json.dumps(credential)}
    assert admin.run("service-cidr", env=env).out == "172.20.0.0/16\n"


def test_job_in_a_pod_needs_no_kubeconfig(admin: Administrator) -> None:
    """apply and verify work if kubectl reaches the server by the pod's service account."""
    bed, script = admin.control_plane, admin.directory / "kubectl"
    reach = f"--kubeconfig={bed.kubeconfig}"
    script.write_text(f'#!/bin/sh\n[ "$1" = config ] || set -- "$@" {reach}\nexec {bed.programs}/kubectl "$@"\n')
    script.chmod(0o755)
    admin.kubeconfig = None
    env = {"HOME": str(admin.directory)}
    done = admin.run("apply", f"--set=cluster.kubectl={script}", env=env)
    assert done.code == 0, done.both
    assert admin.run("verify", f"--set=cluster.kubectl={script}", env=env).code == 0


def test_requests_to_a_busy_server_are_retried(admin: Administrator, proxy: ApiProxy) -> None:
    """429 for the first requests of each kind only delays apply."""
    rejected = {"GET": 0, "PATCH": 0}

    def fault(method: str, path: str) -> tuple[int, dict[str, Any]] | None:
        if method not in rejected or rejected[method] >= 2 or "/apis/apps" not in path:
            return None
        rejected[method] += 1
        return status(429, "TooManyRequests", "Too many requests, please try again later.", retryAfterSeconds=1)

    proxy.fault = fault
    admin.apply()
    assert rejected == {"GET": 2, "PATCH": 2}
    proxy.fault = lambda method, path: None
    assert admin.run("verify").code == 0


@pytest.mark.parametrize(
    "response",
    [
        status(409, "Conflict", "Operation cannot be fulfilled: the object has been modified"),
        status(503, "ServiceUnavailable", "the server is currently unable to handle the request"),
    ],
    ids=["409", "503"],
)
def test_write_that_never_succeeds_reports_the_completed_steps(
    admin: Administrator, proxy: ApiProxy, response: tuple[int, dict[str, Any]]
) -> None:
    """A patch that is always rejected is tried five times; the completed steps are printed."""

    def fault(method: str, path: str) -> tuple[int, dict[str, Any]] | None:
        return response if method == "PATCH" and "/kube-proxy" in path and "dryRun" not in path else None

    proxy.fault = fault
    done = admin.run("apply")
    assert done.code == 1
    assert "patching kube-system/daemonset/kube-proxy: kubectl: Error from server" in done.err
    steps = "created kube-system/configmap/proxy-environment-variables; patched kube-system/daemonset/aws-node"
    assert f"completed before the error: {steps}" in done.err
    patches = [request for request in proxy.requests if request.startswith("PATCH") and "kube-proxy" in request]
    assert len([request for request in patches if "dryRun" not in request]) == 5
    proxy.fault = lambda method, path: None
    admin.apply()
    assert admin.run("verify").code == 0


def test_concurrent_change_is_kept(admin: Administrator, proxy: ApiProxy) -> None:
    """An envFrom entry that appears between our read and our write fails the patch.

    The agent reads the object again, and keeps the entry.
    """
    own = {"configMapRef": {"name": "operators", "optional": True}}
    late = [{"op": "add", "path": "/spec/template/spec/containers/0/envFrom", "value": [own]}]
    done = []

    def fault(method: str, path: str) -> tuple[int, dict[str, Any]] | None:
        if method == "PATCH" and "/aws-node" in path and "dryRun" not in path and not done:
            done.append(path)
            admin.patch("json", late)
        return None

    proxy.fault = fault
    admin.apply()
    ours = {"configMapRef": {"name": "proxy-environment-variables"}}
    assert all_containers(admin.add_on("aws-node"))["aws-node"]["envFrom"] == [own, ours]


def test_missing_permission_is_detected_before_the_first_write(admin: Administrator) -> None:
    """Without permission to patch a workload nothing is applied: the dry run detects it."""
    original = admin.specs()
    text = Path("packaging/examples/cluster-rbac.yaml").read_text()
    text = text.replace("kind: Group, name: eks-proxy-agent}", "kind: User, name: operator}")
    text = text.replace(
        "  resourceNames: [aws-node, kube-proxy]\n  verbs: [patch]", "  resourceNames: [aws-node]\n  verbs: [patch]"
    )
    admin.control_plane.kubectl("apply", "-f", "-", input=text)
    try:
        admin.kubeconfig = admin.control_plane.kubeconfig_for("operator")
        done = admin.run("apply")
    finally:
        admin.control_plane.kubectl("delete", "-f", "-", input=text)
    assert done.code == 1
    assert 'missing permission: patch daemonsets.apps in namespace "kube-system"' in done.err
    assert "dry run: patching kube-system/daemonset/kube-proxy" in done.err
    assert is_unchanged(admin, original)


def test_corrupt_undo_annotation_is_an_error(admin: Administrator) -> None:
    """revert does not guess the meaning of an annotation that the agent did not write."""
    admin.apply()
    admin.control_plane.kubectl(
        "annotate", "--overwrite", "-n", "kube-system", "daemonset/aws-node", "eks-proxy-agent/undo=garbage"
    )
    done = admin.run("revert")
    assert done.code == 1
    assert "cannot read annotation eks-proxy-agent/undo" in done.err


def test_interrupted_apply_reports_the_completed_steps(admin: Administrator, nodes: Nodes) -> None:
    """After Ctrl-C during a rollout the completed steps are printed; the next apply continues."""
    with nodes.stuck("aws-node"):
        process = admin.start("apply")
        assert process.stderr is not None
        lines = ""
        while "daemonset/aws-node: " not in lines.rpartition("\n")[0]:
            line = process.stderr.readline()
            assert line, lines
            lines += line
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "completed before the error: created kube-system/configmap/proxy-environment-variables; patched" in rest
    assert "to undo: eks-proxy-agent cluster revert" in rest
    assert "Traceback" not in lines + rest
    admin.apply()
    assert admin.run("verify").code == 0


def test_apply_with_a_closed_stdout_reports_the_completed_steps(admin: Administrator) -> None:
    """`cluster apply | head -1` ends at the next line, and prints the completed steps on stderr."""
    process = admin.start("apply")
    assert process.stdout is not None
    process.stdout.close()
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    steps = "created kube-system/configmap/proxy-environment-variables"
    assert f"completed before the error: {steps}; to undo: eks-proxy-agent cluster revert" in errors
    admin.apply()
    assert admin.run("verify").code == 0
