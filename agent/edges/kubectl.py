"""kubectl: requests in, decoded objects out.  It decides who we are, where the cluster is, and how to get there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, Callable, TypeVar

from agent.core.cluster.kubectl_errors import BUSY, OUTDATED, hint, reason
from agent.core.cluster.objects import MANAGER
from agent.core.redact import redact
from agent.edges import command
from agent.errors import CommandError

#: Seconds for a whole kubectl, whatever its --request-timeout: it may ask for credentials, and
#: retries 429 by itself.
WHOLE = 120.0
#: How often a request is tried again that met a busy server, or an object that was just written.
ATTEMPTS = 5

T = TypeVar("T")


class KubectlError(CommandError):
    """kubectl failed; `reason` is the API's (NotFound, Forbidden, ...) or that of core/cluster/errors.py."""

    def __init__(self, doing: str, stderr: str) -> None:
        said = redact(stderr.strip())[-2000:]  # in this order: half a URL is not known for one
        super().__init__(f"{doing}: kubectl says: {said}", hint=hint(stderr))
        self.reason = reason(stderr)
        self.stderr = stderr


class Kubectl:
    """One cluster, as one user.

    Unlike all other programs kubectl gets the caller's whole environment: KUBECONFIG and HOME say
    which cluster, PATH and AWS_* are for the program that a kubeconfig names for credentials (`aws
    eks get-token`), and the proxy variables may be the administrator's only way to the API server.
    """

    def __init__(self, program: str, flags: Sequence[str] = ()) -> None:
        """`flags` are kubectl's own, such as --context=NAME and --request-timeout=30s."""
        self._program = program
        self._flags = list(flags)

    def get(self, path: str, doing: str = "") -> Any:
        """The decoded answer to a GET of an API path; a busy server is asked again."""
        return again(lambda: self._decoded(doing or "reading " + path, ["get", "--raw", path]))

    def find(self, path: str, doing: str = "", *, allowed: bool = True) -> Any | None:
        """The same, or None when it does not exist; without `allowed` also when we have no right to see it."""
        try:
            return self.get(path, doing)
        except KubectlError as error:
            if error.reason not in (("NotFound",) if allowed else ("NotFound", "Forbidden")):
                raise
            return None

    def apply(self, manifest: Mapping[str, Any], doing: str, *, dry_run: bool) -> Any:
        """The object after a server-side apply; never forced.  The manifest travels by stdin: it may hold a password."""
        flags = ["apply", "--server-side", "--field-manager=" + MANAGER, "--validate=false", "--filename=-"]
        return self._write(doing, flags, json.dumps(manifest), dry_run=dry_run)

    def patch(self, resource: str, namespace: str, patch: str, doing: str, *, dry_run: bool) -> Any:
        """The object after a JSON patch; `resource` is KIND/NAME."""
        flags = ["patch", resource, "--namespace=" + namespace, "--type=json", "--patch-file=/dev/stdin"]
        return self._write(doing, [*flags, "--field-manager=" + MANAGER], patch, dry_run=dry_run)

    def try_create(self, manifest: Mapping[str, Any], doing: str) -> None:
        """Ask by a dry run whether the server would create this."""
        self._run(doing, ["create", "--dry-run=server", "--validate=false", "--filename=-"], json.dumps(manifest))

    def delete(self, path: str, uid: str, doing: str) -> None:
        """Delete the object at an API path if it is still the one with this uid."""
        sources = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
        self._run(doing, ["delete", "--raw", path, "--filename=-"], json.dumps(sources))

    def server(self) -> str:
        """The URL of the API server in the kubeconfig; empty when it names none, or there is none, as in a pod."""
        flags = ["config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}"]
        try:
            return self._run("reading the kubeconfig", flags).strip()
        except KubectlError as error:
            if error.reason != "NoContext":
                raise
            return ""

    def _write(self, doing: str, flags: list[str], text: str, *, dry_run: bool) -> Any:
        return self._decoded(doing, [*flags, "--output=json", *(["--dry-run=server"] if dry_run else [])], text)

    def _decoded(self, doing: str, arguments: Sequence[str], text: str = "") -> Any:
        answer = self._run(doing, arguments, text)
        try:
            decoded = json.loads(answer)
        except (ValueError, RecursionError):
            raise KubectlError(doing, f"an answer that is not JSON: {redact(answer):.200}") from None
        if not isinstance(decoded, dict) or not isinstance(decoded.get("kind"), str):
            raise KubectlError(doing, f"an answer that is no object of the API: {redact(answer):.200}")
        return decoded

    def _run(self, doing: str, arguments: Sequence[str], text: str = "") -> str:
        program = shutil.which(self._program)
        if program is None:
            raise CommandError(
                f"{doing}: {self._program} is not there, or cannot be executed",
                hint="install kubectl, or set cluster.kubectl to where it is",
            )
        argv = [program, *arguments, *self._flags]
        done = command.run(argv, timeout=WHOLE, environment=_environment(), check=False, text=text)
        if done.returncode:
            raise KubectlError(doing, done.stderr or f"exit code {done.returncode}")
        return done.stdout


def again(request: Callable[[], T], *, outdated: bool = False) -> T:
    """Make a request, and again while the server is busy, ATTEMPTS times at most.

    With `outdated` also when the object was written in between: `request` then has to read it anew.
    """
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

    curable = BUSY + (OUTDATED if outdated else ())
    return Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, KubectlError) and error.reason in curable),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        reraise=True,
    )(request)


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8"}  # kubectl's messages are translated, and we read them
