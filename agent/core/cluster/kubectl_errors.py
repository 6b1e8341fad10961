"""Meaning of kubectl's error texts, and a hint for each.

The texts are those of kubectl 1.20 and later (k8s.io/kubectl/pkg/cmd/util, client-go's
tools/clientcmd).
"""

from __future__ import annotations

import re

#: Transient reasons of a server that responds: the same request may succeed a little later.
BUSY = ("TooManyRequests", "ServiceUnavailable", "Timeout", "ServerTimeout", "InternalError")
TRANSIENT = (*BUSY, "Unreachable")
#: Reasons that a new read resolves: the object was written between our read and our write.
OUTDATED = ("Conflict", "Invalid")

# Order matters: the first match is the reason.
_TEXTS: tuple[tuple[str, str], ...] = (
    (r"Apply failed with \d+ conflict", "ApplyConflict"),
    (r"Error from server \(Gone\)", "Expired"),
    (r"\(Unauthorized\)|the server has asked for the client to provide credentials", "Unauthorized"),
    (r"The request is invalid|^The \S+ \S+ is invalid:", "Invalid"),
    (r"too many requests|Too Many Requests", "TooManyRequests"),
    (r"the server is currently unable to handle the request", "ServiceUnavailable"),
    (r"current-context must exist", "NoContext"),
    (r"context was not found|[Cc]ontext \S+ does not exist|no context exists with the name", "Context"),
    (r"error loading config file|auth info \S+ does not exist|cluster \S+ does not exist|^error: stat ", "Kubeconfig"),
    (r"server localhost:8080 was refused", "NoKubeconfig"),
    (r"getting credentials: exec|executable \S+ (not found|failed with exit code)", "Credentials"),
    (r"x509: ", "Untrusted"),
    (r"Unable to connect to the server|The connection to the server .* was refused", "Unreachable"),
    (
        r"i/o timeout|TLS handshake timeout|context deadline exceeded|Client\.Timeout exceeded|request canceled",
        "Unreachable",
    ),
    (r"connection refused|connection reset|no such host|no route to host|unexpected EOF", "Unreachable"),
)

_MINIMUM = "/usr/share/doc/eks-proxy-agent/examples/cluster-rbac.yaml has the minimum permissions"
_HINTS = {
    # The server rejects a server-side apply that would create an object without naming the verb.
    "Forbidden": f"permission denied, perhaps for create; {_MINIMUM}",
    "Unauthorized": "the cluster rejected your credentials; renew those of your kubeconfig, or use --context",
    "Context": "to list the contexts: kubectl config get-contexts",
    "Kubeconfig": "set --kubeconfig or KUBECONFIG to a readable file; to write one: aws eks update-kubeconfig",
    "NoKubeconfig": "no kubeconfig found; use --kubeconfig or KUBECONFIG; to write one: aws eks update-kubeconfig",
    "Credentials": "the credential command of your kubeconfig failed; run it on its own to see why",
    "Untrusted": "certificate-authority-data in your kubeconfig belongs to another cluster, or a proxy inspects TLS",
    "Unreachable": "if the API server is private, run this inside its network; check that your own NO_PROXY covers it",
    "TooManyRequests": "the API server is overloaded; try again later",
}

_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?'
)


def reason(stderr: str) -> str:
    """Return the reason of a failure as one word, or "".

    It is the API's own (Forbidden, NotFound, Conflict, ...) or one of the table above.
    """
    for pattern, name in _TEXTS:
        if re.search(pattern, stderr, re.MULTILINE):
            return name
    match = re.search(r"Error from server \((\w+)\)", stderr)
    return match.group(1) if match else ""


def hint(stderr: str) -> str:
    """Return the remedy of a failure, or "" if kubectl's own text is all that is known."""
    match = _FORBIDDEN.search(stderr)
    if match:
        namespace, group = match.group("namespace"), match.group("group")
        scope = f' in namespace "{namespace}"' if namespace else " (cluster-wide)"
        resource = match.group("resource") + (f".{group}" if group else "")
        return f"missing permission: {match.group('verb')} {resource}{scope}; {_MINIMUM}"
    return _HINTS.get(reason(stderr), "")


def conflicting_managers(stderr: str) -> list[str]:
    """Return the field managers that a rejected server-side apply names."""
    return sorted(set(re.findall(r'with "([^"]+)"', stderr)))


def applied_range(stderr: str) -> str:
    """Return the service CIDR in the API server's rejection of a cluster IP, or "".

    Source: ErrNotInRange in kubernetes/pkg/registry/core/service/ipallocator.
    """
    match = re.search(r"range of valid IPs is ([0-9a-fA-F:.]+/\d+)", stderr)
    return match.group(1) if match else ""
