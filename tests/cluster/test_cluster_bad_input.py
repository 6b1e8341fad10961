"""What goes wrong between an administrator and a cluster: a clear error, nothing half applied, or
what was is named.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.administrator import CONFIG_MAP, Administrator, all_containers
from tests.cluster.harness.control_plane import ControlPlane
from tests.cluster.harness.nodes import Nodes
from tests.cluster.moody_api import MoodyApi, moody_api, status


@pytest.fixture
def admin(add_ons: ControlPlane, tmp_path: Path) -> Administrator:
    """The administrator of a cluster with fresh add-ons."""
    return Administrator(add_ons, tmp_path)


@pytest.fixture
def door(admin: Administrator) -> Iterator[MoodyApi]:
    """The same cluster behind a moody door."""
    with moody_api(admin.control_plane, admin.directory) as made:
        admin.kubeconfig = made.kubeconfig
        yield made


def untouched(admin: Administrator, original: str) -> bool:
    """Whether the cluster is as before."""
    absent = admin.control_plane.try_kubectl("get", *CONFIG_MAP).returncode == 1
    return absent and admin.specs() == original


MISTAKES = [
    (["--set=cluster.kubectl=/nowhere/kubectl"], "/nowhere/kubectl is not there, or cannot be executed"),
    (["--set=cluster.kubectl=no-such-kubectl"], "hint: install kubectl, or set cluster.kubectl"),
    (["--context=nope"], "hint: kubectl config get-contexts lists those that there are"),
    (["--kubeconfig=/nonexistent"], "hint: name a readable one with --kubeconfig or KUBECONFIG"),
    (["--kubeconfig=DIRECTORY/garbage"], 'error loading config file "DIRECTORY/garbage"'),
    (["--kubeconfig=DIRECTORY"], "is a directory"),
    (["--kubeconfig=AWAY"], "The connection to the server 127.0.0.1:1 was refused"),
    (["--kubeconfig=STRANGER"], "hint: the cluster does not know who you are"),
    (["--kubeconfig=NOBODY"], 'User "nobody" cannot get resource "services"'),
    (["--kubeconfig=NOBODY"], 'hint: this right is missing: get services in namespace "default"'),
    (['--set=cluster.workloads=["kube-system/daemonset/no", "a/deployment/b"]'], "no, a/deployment/b"),
    (["--set=vpc.cidrs=auto", "--set=metadata.deadline=1"], "hint: set vpc.cidrs (in the settings or with --set)"),
    (["--facts=/nonexistent"], "/nonexistent: cannot be read"),
    (["--from-node=DIRECTORY/garbage"], "DIRECTORY/garbage: not the status of a configured node"),
    (["--set=cluster.endpoint="], "hint: set cluster.endpoint to https://... as the nodes call it"),
    (["--set=cluster.workloads=[5]"], "cluster.workloads"),
]


def test_bad_input_is_told_before_anything_is_written(admin: Administrator) -> None:
    """Each of these ends apply with what is wrong and the way out, and the cluster as it was."""
    original = admin.specs()
    (admin.directory / "garbage").write_text("foo: [")
    bed = admin.control_plane
    names = {"DIRECTORY": str(admin.directory), "NOBODY": str(bed.kubeconfig_for("nobody"))}
    for name, flag in (("AWAY", {"server": "https://127.0.0.1:1"}), ("STRANGER", {"token": "wrong"})):
        path = admin.directory / name
        path.write_text(bed.kubeconfig_for("admin", **flag).read_text())
        names[name] = str(path)
    wrong = []
    for flags, said in MISTAKES:
        for name, value in names.items():
            flags, said = [flag.replace(name, value) for flag in flags], said.replace(name, value)
        done = admin.run("apply", *flags)
        if done.code != (78 if "[5]" in flags[0] else 1) or said not in done.err or done.out:
            wrong.append((flags, said, done))
    assert wrong == []
    assert untouched(admin, original)


@pytest.mark.parametrize("answer", ["null", "[]", "{}", "5", "<html>", "[" * 100_000, '{"kind": "Service"}'])
def test_an_answer_that_is_none_is_told(control_plane: ControlPlane, tmp_path: Path, answer: str) -> None:
    """A kubectl in whose place something else answers is an error with its words, shortened, for
    each action.
    """
    (tmp_path / "answer").write_text(answer)
    script = tmp_path / "kubectl"
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/answer\n")
    script.chmod(0o755)
    admin = Administrator(control_plane, tmp_path)
    for action in ("service-cidr", "plan", "revert") if "kind" not in answer else ("service-cidr", "plan"):
        done = admin.run(action, f"--set=cluster.kubectl={script}")
        assert (done.code, "Traceback" in done.err) == (1, False), done.err[-2000:]
        assert "an answer that is no" in done.err or "it has no cluster IP" in done.err
        assert len(done.err) < 500


def test_a_server_that_does_not_answer_is_given_up(admin: Administrator) -> None:
    """--request-timeout bounds the wait for an API server that is there but silent."""
    bed = admin.control_plane
    bed.processes["kube-apiserver"].pause()
    try:
        done = admin.run("service-cidr", "--request-timeout=2")
    finally:
        bed.processes["kube-apiserver"].resume()
    assert done.code == 1
    assert done.err.startswith("eks-proxy-agent: asking for the service CIDR: kubectl says: ")


def test_without_a_kubeconfig_the_way_out_is_told(admin: Administrator) -> None:
    """No --kubeconfig, no KUBECONFIG and an empty home: the hint names all three."""
    admin.kubeconfig = None
    done = admin.run("service-cidr", env={"HOME": str(admin.directory)})
    assert done.code == 1
    assert "no kubeconfig was found" in done.err


def test_kubeconfig_and_home_come_from_the_caller(admin: Administrator) -> None:
    """KUBECONFIG of the administrator's environment reaches kubectl, and an exec plugin gets the
    whole environment.
    """
    admin.kubeconfig, real = None, admin.control_plane.kubeconfig
    assert admin.run("service-cidr", env={"KUBECONFIG": str(real)}).out == "172.20.0.0/16\n"
    config = real.read_text().replace(
        f'token: "{admin.control_plane.tokens["admin"]}"',
        'exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: sh, args: ["-c", "echo $TEST_ANSWER"]}',
    )
    path = admin.directory / "exec.kubeconfig"
    path.write_text(config)
    token = {"token": admin.control_plane.tokens["admin"]}
    answer = {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1beta1", "status": token}
    env = {"KUBECONFIG": str(path), "TEST_ANSWER": json.dumps(answer)}
    assert admin.run("service-cidr", env=env).out == "172.20.0.0/16\n"


def test_a_job_in_a_pod_has_no_kubeconfig(admin: Administrator) -> None:
    """Where kubectl gets to the server without one, by the pod's service account, everything goes
    on as with one.
    """
    bed, script = admin.control_plane, admin.directory / "kubectl"
    reach = f"--kubeconfig={bed.kubeconfig}"
    script.write_text(f'#!/bin/sh\n[ "$1" = config ] || set -- "$@" {reach}\nexec {bed.programs}/kubectl "$@"\n')
    script.chmod(0o755)
    admin.kubeconfig = None
    env = {"HOME": str(admin.directory)}
    done = admin.run("apply", f"--set=cluster.kubectl={script}", env=env)
    assert done.code == 0, done.both
    assert admin.run("verify", f"--set=cluster.kubectl={script}", env=env).code == 0


def test_a_busy_server_is_asked_again(admin: Administrator, door: MoodyApi) -> None:
    """429 to the first requests of each kind delays apply, and nothing else."""
    told = {"GET": 0, "PATCH": 0}

    def mood(method: str, path: str) -> tuple[int, dict[str, Any]] | None:
        if method not in told or told[method] >= 2 or "/apis/apps" not in path:
            return None
        told[method] += 1
        return status(429, "TooManyRequests", "Too many requests, please try again later.", retryAfterSeconds=1)

    door.mood = mood
    admin.apply()
    assert told == {"GET": 2, "PATCH": 2}
    door.mood = lambda method, path: None
    assert admin.run("verify").code == 0


@pytest.mark.parametrize(
    "answer",
    [
        status(409, "Conflict", "Operation cannot be fulfilled: the object has been modified"),
        status(503, "ServiceUnavailable", "the server is currently unable to handle the request"),
    ],
    ids=["409", "503"],
)
def test_a_write_that_never_succeeds_names_what_was_applied(
    admin: Administrator, door: MoodyApi, answer: tuple[int, dict[str, Any]]
) -> None:
    """A patch of the second workload that is refused again and again: bounded, and told with what
    was done before.
    """

    def mood(method: str, path: str) -> tuple[int, dict[str, Any]] | None:
        return answer if method == "PATCH" and "/kube-proxy" in path and "dryRun" not in path else None

    door.mood = mood
    done = admin.run("apply")
    assert done.code == 1
    assert "patching kube-system/daemonset/kube-proxy: kubectl says: Error from server" in done.err
    until = (
        "until then: created kube-system/configmap/proxy-environment-variables; patched kube-system/daemonset/aws-node"
    )
    assert until in done.err
    assert (
        len([one for one in door.seen if one.startswith("PATCH") and "kube-proxy" in one and "dryRun" not in one]) == 5
    )
    door.mood = lambda method, path: None
    admin.apply()
    assert admin.run("verify").code == 0


def test_what_others_write_in_between_survives(admin: Administrator, door: MoodyApi) -> None:
    """An envFrom that appears between our read and our write makes the patch fail its test; the
    next reading keeps it.
    """
    own = {"configMapRef": {"name": "owners", "optional": True}}
    late = [{"op": "add", "path": "/spec/template/spec/containers/0/envFrom", "value": [own]}]
    done = []

    def mood(method: str, path: str) -> tuple[int, dict[str, Any]] | None:
        if method == "PATCH" and "/aws-node" in path and "dryRun" not in path and not done:
            done.append(path)
            admin.patch("json", late)
        return None

    door.mood = mood
    admin.apply()
    ours = {"configMapRef": {"name": "proxy-environment-variables"}}
    assert all_containers(admin.add_on("aws-node"))["aws-node"]["envFrom"] == [own, ours]


def test_a_missing_right_shows_before_the_first_write(admin: Administrator) -> None:
    """Who may patch one workload and not the other applies nothing: the dry run finds it."""
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
    assert 'this right is missing: patch daemonsets.apps in namespace "kube-system"' in done.err
    assert "trying to patch kube-system/daemonset/kube-proxy" in done.err
    assert untouched(admin, original)


def test_an_undo_note_that_somebody_spoilt_is_told(admin: Administrator) -> None:
    """revert does not guess what an annotation that is not ours any more was to mean."""
    admin.apply()
    admin.control_plane.kubectl(
        "annotate", "--overwrite", "-n", "kube-system", "daemonset/aws-node", "eks-proxy-agent/undo=garbage"
    )
    done = admin.run("revert")
    assert done.code == 1
    assert "the annotation eks-proxy-agent/undo cannot be read" in done.err


def test_an_interrupted_apply_tells_what_it_did(admin: Administrator, nodes: Nodes) -> None:
    """Ctrl-C while a rollout is waited for: what was applied is named, and the next apply goes on
    from there.
    """
    with nodes.stuck("aws-node"):
        process = admin.start("apply")
        assert process.stderr is not None
        seen = ""
        while "daemonset/aws-node: " not in seen.rpartition("\n")[0]:
            line = process.stderr.readline()
            assert line, seen
            seen += line
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "until then: created kube-system/configmap/proxy-environment-variables; patched" in rest
    assert "to go back: eks-proxy-agent cluster revert" in rest
    assert "Traceback" not in seen + rest
    admin.apply()
    assert admin.run("verify").code == 0


def test_an_apply_whose_reader_goes_away_tells_what_it_did(admin: Administrator) -> None:
    """`cluster apply | head -1` ends at the next line, and says on stderr how far it came."""
    process = admin.start("apply")
    assert process.stdout is not None
    process.stdout.close()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "until then: created kube-system/configmap/proxy-environment-variables; to go back: eks-proxy" in said
    admin.apply()
    assert admin.run("verify").code == 0
