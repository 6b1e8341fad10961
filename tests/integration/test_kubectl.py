"""kubectl, as a program of the test on PATH: its arguments, its environment, its errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

import pytest
import tenacity

from agent.core.cluster.kubectl_errors import OUTDATED
from agent.core.settings.workloads import Workload
from agent.edges import command
from agent.edges.kubectl import ATTEMPTS, Kubectl, KubectlError, retry
from agent.errors import CommandError

POD = {"kind": "Pod", "metadata": {"name": "a", "namespace": "b"}, "spec": {"containers": []}}
DAEMON_SET = Workload("kube-system", "DaemonSet", "a")
OBJECT = {"kind": "DaemonSet", "metadata": {"name": "a"}, "spec": {"template": {"spec": {}}, "selector": {}}}
NOT_FOUND = 'Error from server (NotFound): pods "a" not found'
FORBIDDEN = 'Error from server (Forbidden): pods "a" is forbidden: User "x" cannot get resource'
BUSY = "Error from server (TooManyRequests): the server is currently unable to handle the request"


class Fake:
    """A kubectl that writes down how it was called, and responds with one output after another."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory = directory
        directory.mkdir()
        program = directory / "kubectl"
        program.write_text(f"""#!/bin/sh
cd {directory}
echo "$@" >>calls
cat >>input
printf %s "$LC_ALL $TOKEN" >environment
n=$(wc -l <calls)
[ ! -e "$n.err" ] || {{ cat "$n.err" >&2; exit 1; }}
cat "$n.out"
""")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
        self._responses = 0

    def responds(self, *outputs: object) -> Kubectl:
        """Respond with objects, texts, or errors of kubectl (one that begins with Error)."""
        for output in outputs:
            self._responses += 1
            text = output if isinstance(output, str) else json.dumps(output)
            name = f"{self._responses}.{'err' if text.startswith('Error') else 'out'}"
            (self._directory / name).write_text(text)
        return Kubectl("kubectl", ["--context=c"])

    @property
    def calls(self) -> list[str]:
        """The arguments of each run."""
        path = self._directory / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def read(self, name: str) -> str:
        """Return what it wrote down."""
        return (self._directory / name).read_text()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """A kubectl on PATH; retries do not wait."""
    monkeypatch.setattr(tenacity.Retrying, "sleep", lambda *_: None, raising=False)
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda _: None)
    return Fake(tmp_path / "kubectl", monkeypatch)


def test_get_returns_the_object(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """kubectl gets its flags, the caller's environment, and messages that are not translated."""
    monkeypatch.setenv("TOKEN", "t")
    monkeypatch.setenv("LC_ALL", "de_DE")
    assert fake.responds(POD).get("/api/v1/pods/a", "Pod") == POD
    assert fake.calls == ["get --raw /api/v1/pods/a --context=c"]
    assert fake.read("environment") == "C.UTF-8 t"


def test_a_restart_names_the_workload_and_its_namespace(fake: Fake) -> None:
    """kubectl sets the annotation that replaces the pods."""
    fake.responds("restarted").restart(Workload("kube-system", "DaemonSet", "aws-node"), "restarting")
    assert fake.calls == ["rollout restart daemonset/aws-node --namespace=kube-system --context=c"]


def test_get_of_a_missing_object_is_an_error(fake: Fake) -> None:
    """It names what was being done, and has the reason of the API."""
    with pytest.raises(KubectlError, match=r"^reading /x: kubectl: Error from server \(NotFound\)") as error:
        fake.responds(NOT_FOUND).get("/x", "Pod")
    assert error.value.reason == "NotFound"
    with pytest.raises(KubectlError, match=r"^looking: kubectl: "):
        fake.responds(NOT_FOUND).get("/x", "Pod", "looking")


@pytest.mark.parametrize(
    ("response", "allowed", "expected"),
    [(POD, True, POD), (NOT_FOUND, True, None), (NOT_FOUND, False, None), (FORBIDDEN, False, None)],
)
def test_find_returns_none_for_a_missing_object(fake: Fake, response: object, allowed: bool, expected: object) -> None:
    """A missing permission counts as missing only on request."""
    assert fake.responds(response).find("/x", "Pod", "looking", allowed=allowed) == expected


@pytest.mark.parametrize(("response", "allowed"), [(FORBIDDEN, True), ("Error: other", True), ("Error: other", False)])
def test_find_raises_any_other_error(fake: Fake, response: str, allowed: bool) -> None:
    """An error is not absence."""
    with pytest.raises(KubectlError):
        fake.responds(response).find("/x", "Pod", allowed=allowed)


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        ("", "the response is not JSON:"),
        ("[" * 100_000, "the response is not JSON: [[["),
        ('{"kind": "Pod"', "the response is not JSON:"),
        ([POD], "the response is not an API object: "),
        ({"metadata": {}}, "the response is not an API object: "),
        ({"kind": 5}, "the response is not an API object: "),
        ({"kind": "Service"}, 'the response is not a Pod but a "Service"'),
        (
            {"kind": "Pod", "metadata": {"name": "s3cret"}},
            "the response is not a valid Pod: metadata.namespace: missing",
        ),
        ("http://a:s3cret@p", "the response is not JSON: http://***@p"),
    ],
)
def test_a_response_of_the_wrong_shape_is_an_error(fake: Fake, response: object, problem: str) -> None:
    """It is one line of limited length, without a secret."""
    with pytest.raises(KubectlError) as error:
        fake.responds(response).get("/x", "Pod")
    assert problem in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(("dry_run", "flag"), [(True, " --dry-run=server"), (False, "")])
def test_apply_sends_the_manifest_through_stdin(fake: Fake, dry_run: bool, flag: str) -> None:
    """It may contain a password; it is a server-side apply of our manager, and never forced."""
    assert fake.responds(POD).apply(POD, "writing", dry_run=dry_run) == POD
    assert json.loads(fake.read("input")) == POD
    expected = "apply --server-side --field-manager=eks-proxy-agent --validate=false --filename=- --output=json"
    assert fake.calls == [expected + flag + " --context=c"]


@pytest.mark.parametrize(("dry_run", "flag"), [(True, " --dry-run=server"), (False, "")])
def test_patch_is_a_json_patch_of_our_manager(fake: Fake, dry_run: bool, flag: str) -> None:
    """The patch goes through stdin too."""
    assert fake.responds(OBJECT).patch(DAEMON_SET, "[]", "patching", dry_run=dry_run) == OBJECT
    assert fake.read("input") == "[]"
    expected = "patch daemonset/a --namespace=kube-system --type=json --patch-file=/dev/stdin"
    assert fake.calls == [expected + " --field-manager=eks-proxy-agent --output=json" + flag + " --context=c"]


def test_create_is_only_tried(fake: Fake) -> None:
    """The server checks the object, and stores nothing."""
    fake.responds("created").try_create(POD, "trying")
    assert fake.calls == ["create --dry-run=server --validate=false --filename=- --context=c"]
    assert json.loads(fake.read("input")) == POD


def test_delete_has_the_uid_as_a_precondition(fake: Fake) -> None:
    """An object that someone else created meanwhile under the same name stays."""
    fake.responds("deleted").delete("/api/v1/x", "u-1", "deleting")
    assert fake.calls == ["delete --raw /api/v1/x --filename=- --context=c"]
    options = json.loads(fake.read("input"))
    assert (options["kind"], options["preconditions"]) == ("DeleteOptions", {"uid": "u-1"})


@pytest.mark.parametrize(
    ("response", "server"),
    [
        ("https://api.example\n", "https://api.example"),
        ("", ""),
        ("Error: current-context must exist in order to minify", ""),
        ('Error: context "c" does not exist', None),
    ],
)
def test_server_of_the_kubeconfig(fake: Fake, response: str, server: str | None) -> None:
    """None is "", as in a pod; a context that was named and does not exist is an error."""
    kubectl = fake.responds(response)
    if server is None:
        with pytest.raises(KubectlError, match=r"^reading the kubeconfig: "):
            kubectl.server()
    else:
        assert kubectl.server() == server
    assert fake.calls == ["config view --minify --output=jsonpath={.clusters[0].cluster.server} --context=c"]


def test_a_busy_server_is_asked_again(fake: Fake) -> None:
    """At most ATTEMPTS times in all."""
    assert fake.responds(*[BUSY] * (ATTEMPTS - 1), POD).get("/x", "Pod") == POD
    with pytest.raises(KubectlError):
        fake.responds(*[BUSY] * ATTEMPTS).get("/x", "Pod")
    assert len(fake.calls) == 2 * ATTEMPTS


@pytest.mark.parametrize(("outdated", "calls"), [(False, 1), (True, ATTEMPTS)])
def test_an_outdated_object_is_written_again_only_if_it_is_read_again(outdated: bool, calls: int, fake: Fake) -> None:
    """Otherwise the same request would fail each time."""
    texts = {"Conflict": "Error from server (Conflict): Operation cannot be fulfilled: the object has been modified"}
    made = []

    def request() -> Callable[[], None]:
        made.append(1)
        raise KubectlError("writing", texts["Conflict"])

    with pytest.raises(KubectlError) as error:
        retry(request, outdated=outdated)
    assert error.value.reason in OUTDATED
    assert len(made) == calls


def test_other_errors_are_not_retried(fake: Fake) -> None:
    """Only a KubectlError may be a busy server."""
    made = []

    def request() -> None:
        made.append(1)
        raise CommandError("timed out")

    with pytest.raises(CommandError):
        retry(request)
    assert len(made) == 1


@pytest.mark.parametrize(
    ("stderr", "text"),
    [("Error: \n", "x: kubectl: Error:"), ("Error from http://a:s3cret@p/", "x: kubectl: Error from http://***@p/")],
)
def test_errors_are_stripped_and_redacted(fake: Fake, stderr: str, text: str) -> None:
    """A kubeconfig may hold a proxy-url with a password."""
    with pytest.raises(KubectlError) as error:
        fake.responds(stderr).try_create(POD, "x")
    assert str(error.value) == text


def test_a_missing_kubectl_is_an_error_with_a_hint(fake: Fake) -> None:
    """The hint names the setting."""
    with pytest.raises(CommandError, match=r"^looking: no-kubectl: not found, or not executable$") as error:
        Kubectl("no-kubectl").get("/x", "Pod", "looking")
    assert error.value.hint == "install kubectl, or set cluster.kubectl to its path"


def test_a_kubectl_that_fails_in_silence_has_its_exit_code(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is not empty."""
    monkeypatch.setattr(command, "run", lambda argv, **options: command.Result(7, "", ""))
    with pytest.raises(KubectlError, match=r"^x: kubectl: exit code 7$"):
        fake.responds(POD).try_create(POD, "x")
