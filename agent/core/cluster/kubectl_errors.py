"""What kubectl's error texts mean, and the way out of each.  Pure.

The texts are those of kubectl 1.20 and later (k8s.io/kubectl/pkg/cmd/util, client-go's
tools/clientcmd).
"""

from __future__ import annotations

import re

#: Reasons that pass by themselves: the same request may succeed a little later.
BUSY = ("TooManyRequests", "ServiceUnavailable", "Timeout", "ServerTimeout", "InternalError")
PASSING = (*BUSY, "Unreachable")
#: Reasons that a fresh read cures: somebody else wrote between our read and our write.
OUTDATED = ("Conflict", "Invalid")

# Order counts: the first that matches is the reason.
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

_LEAST = "packaging/examples/cluster-rbac.yaml has the least set"
_HINTS = {
    # A server-side apply that would create is refused without telling the verb.
    "Forbidden": "a right is missing, perhaps that to create it; " + _LEAST,
    "Unauthorized": "the cluster does not know who you are: renew the credentials of your kubeconfig, or use --context",
    "Context": "kubectl config get-contexts lists those that there are",
    "Kubeconfig": "name a readable one with --kubeconfig or KUBECONFIG; aws eks update-kubeconfig writes one",
    "NoKubeconfig": "no kubeconfig was found: use --kubeconfig or KUBECONFIG; aws eks update-kubeconfig writes one",
    "Credentials": "the command that your kubeconfig names for credentials failed: run it by itself",
    "Untrusted": "certificate-authority-data in your kubeconfig is of another cluster, or a proxy inspects TLS",
    "Unreachable": "is the API server private, and you are outside? Or does your own NO_PROXY lack it?",
    "TooManyRequests": "the API server is overloaded: try again later",
}

_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?'
)


def reason(stderr: str) -> str:
    """One word: the API's own reason (Forbidden, NotFound, Conflict, ...), one of the table above, or empty."""
    for pattern, name in _TEXTS:
        if re.search(pattern, stderr, re.MULTILINE):
            return name
    match = re.search(r"Error from server \((\w+)\)", stderr)
    return match.group(1) if match else ""


def hint(stderr: str) -> str:
    """The way out, empty where kubectl's own text is all that can be said."""
    found = _FORBIDDEN.search(stderr)
    if found:
        where = ' in namespace "{}"'.format(found.group("namespace")) if found.group("namespace") else " (cluster-wide)"
        thing = found.group("resource") + ("." + found.group("group") if found.group("group") else "")
        return "this right is missing: {} {}{}; {}".format(
            found.group("verb"),
            thing,
            where,
            _LEAST,
        )
    return _HINTS.get(reason(stderr), "")


def conflicting_managers(stderr: str) -> list[str]:
    """The field managers that a refused server-side apply names."""
    return sorted(set(re.findall(r'with "([^"]+)"', stderr)))


def applied_range(stderr: str) -> str:
    """The service CIDR in the API server's refusal of a cluster IP, or empty.

    Source: ErrNotInRange in kubernetes/pkg/registry/core/service/ipallocator.
    """
    match = re.search(r"range of valid IPs is ([0-9a-fA-F:.]+/\d+)", stderr)
    return match.group(1) if match else ""
