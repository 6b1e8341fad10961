"""kubectl: requests in, decoded objects out.

kubectl decides who the user is, where the cluster is, and how to reach it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, Callable, TypeVar

from agent.core.cluster.kubectl_errors import BUSY, OUTDATED, hint, reason
from agent.core.cluster.objects import MANAGER
from agent.core.cluster.shape import shape_problem
from agent.core.net.proxy_url import quoted
from agent.core.redact import redact
from agent.core.settings.workloads import Workload
from agent.edges import command
from agent.errors import CommandError

#: Seconds for one run of kubectl, whatever its --request-timeout: it may fetch credentials, and it
#: retries 429 by itself.
RUN_TIMEOUT = 120.0
#: Attempts for a request to a busy server, or for an object that was just written.
ATTEMPTS = 5

T = TypeVar("T")


class KubectlError(CommandError):
    """Failure of kubectl.

    `reason` is the API's (NotFound, Forbidden, ...) or one of core/cluster/kubectl_errors.py.
    """

    def __init__(self, doing: str, stderr: str) -> None:
        text = redact(stderr.strip())[-2000:]  # redact first: a truncated URL would not be recognised
        super().__init__(f"{doing}: kubectl: {text}", hint=hint(stderr))
        self.reason = reason(stderr)
        self.stderr = stderr


class Kubectl:
    """One cluster, as one user.

    Unlike all other programs, kubectl gets the caller's whole environment.  KUBECONFIG and HOME
    select the cluster.  PATH and AWS_* are for the credential program of a kubeconfig (`aws eks
    get-token`).  The proxy variables may be the administrator's only route to the API server.
    """

    def __init__(self, program: str, flags: Sequence[str] = ()) -> None:
        """Take the program and kubectl's own flags, such as --context=NAME."""
        self._program = program
        self._flags = list(flags)

    def get(self, path: str, kind: str, doing: str = "") -> Any:
        """Return the object of a kind at an API path; retry while the server is busy.

        Raises KubectlError, also for a response that does not have the shape of this kind
        (core/cluster/shape.py); so do the methods below.
        """
        return retry(lambda: self._decoded(doing or "reading " + path, ["get", "--raw", path], kind))

    def find(self, path: str, kind: str, doing: str = "", *, allowed: bool = True) -> Any | None:
        """Return the object at an API path, or None if it does not exist.

        Without `allowed`, also return None if the user has no permission to read it.  Raises
        KubectlError.
        """
        try:
            return self.get(path, kind, doing)
        except KubectlError as error:
            if error.reason not in (("NotFound",) if allowed else ("NotFound", "Forbidden")):
                raise
            return None

    def apply(self, manifest: Mapping[str, Any], doing: str, *, dry_run: bool) -> Any:
        """Return the object after a server-side apply, which is never forced.

        The manifest goes through stdin: it may contain a password.  Raises KubectlError.
        """
        flags = ["apply", "--server-side", "--field-manager=" + MANAGER, "--validate=false", "--filename=-"]
        return self._write(doing, flags, manifest["kind"], json.dumps(manifest), dry_run=dry_run)

    def patch(self, workload: Workload, patch: str, doing: str, *, dry_run: bool) -> Any:
        """Return a workload after a JSON patch.

        Raises KubectlError.
        """
        flags = ["patch", f"{workload.kind.lower()}/{workload.name}", "--namespace=" + workload.namespace]
        flags += ["--type=json", "--patch-file=/dev/stdin", "--field-manager=" + MANAGER]
        return self._write(doing, flags, workload.kind, patch, dry_run=dry_run)

    def try_create(self, manifest: Mapping[str, Any], doing: str) -> None:
        """Dry-run the creation of an object; raises KubectlError if the server would reject it."""
        self._run(doing, ["create", "--dry-run=server", "--validate=false", "--filename=-"], json.dumps(manifest))

    def restart(self, workload: Workload, doing: str) -> None:
        """Replace the pods of a workload by a rollout; raises KubectlError."""
        resource = f"{workload.kind.lower()}/{workload.name}"
        self._run(doing, ["rollout", "restart", resource, "--namespace=" + workload.namespace])

    def dry_run_create(self, manifest: Mapping[str, Any], doing: str) -> Any:
        """Return the object that the server would create; raises KubectlError."""
        flags = ["create", "--validate=false", "--filename=-"]
        return self._write(doing, flags, manifest["kind"], json.dumps(manifest), dry_run=True)

    def delete(self, path: str, uid: str, doing: str) -> None:
        """Delete the object at an API path if it still has this uid; raises KubectlError."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
        self._run(doing, ["delete", "--raw", path, "--filename=-"], json.dumps(options))

    def server(self) -> str:
        """Return the URL of the API server in the kubeconfig.

        It is "" if the kubeconfig names none, or if there is no kubeconfig, as in a pod.  Raises
        KubectlError.
        """
        flags = ["config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}"]
        try:
            return self._run("reading the kubeconfig", flags).strip()
        except KubectlError as error:
            if error.reason != "NoContext":
                raise
            return ""

    def _write(self, doing: str, flags: list[str], kind: str, text: str, *, dry_run: bool) -> Any:
        return self._decoded(doing, [*flags, "--output=json", *(["--dry-run=server"] if dry_run else [])], kind, text)

    def _decoded(self, doing: str, arguments: Sequence[str], kind: str, text: str = "") -> Any:
        output = self._run(doing, arguments, text)
        try:
            decoded = json.loads(output)
        except (ValueError, RecursionError):
            raise KubectlError(doing, f"the response is not JSON: {redact(output):.200}") from None
        if not isinstance(decoded, dict) or not isinstance(decoded.get("kind"), str):
            raise KubectlError(doing, f"the response is not an API object: {redact(output):.200}")
        if decoded["kind"] != kind:
            raise KubectlError(doing, f"the response is not a {kind} but a {quoted(decoded['kind'])}")
        problem = shape_problem(decoded, kind)
        if problem:
            raise KubectlError(doing, f"the response is not a valid {kind}: {problem}")
        return decoded

    def _run(self, doing: str, arguments: Sequence[str], text: str = "") -> str:
        program = shutil.which(self._program)
        if program is None:
            raise CommandError(
                f"{doing}: {self._program}: not found, or not executable",
                hint="install kubectl, or set cluster.kubectl to its path",
            )
        argv = [program, *arguments, *self._flags]
        result = command.run(argv, timeout=RUN_TIMEOUT, environment=_environment(), check=False, text=text)
        if result.returncode:
            raise KubectlError(doing, result.stderr or f"exit code {result.returncode}")
        return result.stdout


def retry(request: Callable[[], T], *, outdated: bool = False) -> T:
    """Make a request, ATTEMPTS times at most while the server is busy.

    With `outdated`, also retry if the object was written in between: `request` has to read it
    again.
    """
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

    retryable = BUSY + (OUTDATED if outdated else ())
    return Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, KubectlError) and error.reason in retryable),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        reraise=True,
    )(request)


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8"}  # kubectl translates its messages, and we parse them
