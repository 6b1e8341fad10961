"""Coverage of NO_PROXY: what must be direct, for each installed client.

The list is the one that a process gets which starts now.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence

from agent.checks.context import NEEDS_ROOT, CheckedNode, is_root
from agent.checks.finding import FAIL, OK, SKIP, Finding
from agent.core.noproxy.dialects.dialect import Dialect
from agent.core.noproxy.dialects.families import DIALECTS
from agent.core.noproxy.dialects.request import Request, parse_request
from agent.core.noproxy.entries import Entry, render
from agent.core.noproxy.explain import titles
from agent.core.plan.files.environment import ENVIRONMENT, NODE_ENV, assignments
from agent.edges import command
from agent.edges.files import FileSystem
from agent.errors import CommandError

GROUP = "no-proxy"
#: Reasons of the entries without which a node does not work.
REASONS = (
    "metadata",
    "credentials",
    "vpc",
    "pod-cidr",
    "service-cidr",
    "service-address",
    "cluster-domain",
    "internal",
    "api-endpoint",
)
_DIRECTORIES = ("/usr/bin", "/usr/sbin", "/usr/local/bin")


def check(node: CheckedNode) -> Iterator[Finding]:
    """Compare the list with the one that the facts of this moment give.

    Where even the latter cannot exempt an entry for a client, the finding is ok and says so.
    """
    if node.current is None or node.current.intent is None:
        return
    environment = _environment(node.host.files)
    if "no_proxy" not in environment:
        yield Finding(GROUP, "list", SKIP, "NO_PROXY is not set (see files)" if is_root() else NEEDS_ROOT)
        return
    dialects = _installed_dialects(node.host.files)
    entries: dict[str, list[Entry]] = {}
    for entry in node.current.intent.no_proxy:
        entries.setdefault(entry.reason, []).append(entry)
    desired = render(node.current.intent.no_proxy)
    for reason in REASONS:
        if reason in entries:
            yield _coverage(reason, entries[reason], dialects, environment, desired)


def target(entry: Entry) -> Request:
    """Return a request that the entry must exempt.

    For a network, it is to an address in it; for a domain, to a name below it.
    """
    value = entry.value.strip("[]")
    if "/" in value:
        network = ipaddress.ip_network(value)
        value = str(network[min(7, network.num_addresses - 1)])  # not ...::1: an entry ::1 may match its suffix
    elif value.startswith("."):
        value = "name" + value
    scheme = "http" if entry.reason in ("metadata", "credentials") else "https"
    host = f"[{value}]" if ":" in value else value
    return parse_request(f"{scheme}://{host}/")


def _coverage(
    reason: str, entries: Sequence[Entry], dialects: Sequence[Dialect], environment: Mapping[str, str], desired: str
) -> Finding:
    uncovered: dict[str, list[Dialect]] = {}
    unsupported: dict[str, list[Dialect]] = {}
    for entry in entries:
        request, value = target(entry), entry.value.strip("[]")
        unsupported.setdefault(value, [])
        for dialect in dialects:
            if dialect.bypass(request, dialect.variables.exceptions(environment)) is not None:
                continue
            failing = uncovered if dialect.bypass(request, desired) is not None else unsupported
            if dialect not in failing.setdefault(value, []):
                failing[value].append(dialect)
    if uncovered:
        text = "; ".join(
            f"{value} is missing: through the proxy for {titles(clients, dialects)}"
            for value, clients in uncovered.items()
        )
        hint = "eks-proxy-agent apply; then restart the units that it names"
        return Finding(GROUP, reason, FAIL, text, hint)
    return Finding(GROUP, reason, OK, ". ".join(_describe(unsupported, dialects)))


def _describe(unsupported: Mapping[str, Sequence[Dialect]], dialects: Sequence[Dialect]) -> Iterator[str]:
    """Describe which clients exempt which entries; entries with the same clients are one text."""
    alike: dict[tuple[Dialect, ...], list[str]] = {}
    for value, unable in unsupported.items():
        alike.setdefault(tuple(unable), []).append(value)
    for unable, values in alike.items():
        able = titles((dialect for dialect in dialects if dialect not in unable), dialects)
        text = f"{', '.join(values)}: direct for {able}"
        exception = f"; through the proxy for {titles(unable, dialects)}, which cannot match such an entry"
        yield text + exception * bool(unable)


def _environment(files: FileSystem) -> Mapping[str, str]:
    """Return what systemd gives to a unit, or /etc/environment if node.env cannot be read."""
    for path in (NODE_ENV, ENVIRONMENT):
        content = files.state(files.resolve(path)).content
        if content is not None:
            return assignments(content)
    return {}


def _installed_dialects(files: FileSystem) -> tuple[Dialect, ...]:
    """Return the families of which a client is installed.

    Go is always one of them: the container runtimes are written in it.
    """
    names = {name for directory in _DIRECTORIES for name in files.names(directory)}
    version = _libcurl_version(files)
    return tuple(
        dialect
        for dialect in DIALECTS
        if dialect.name == "go"
        or (
            names.intersection(dialect.clients)
            and (dialect.libcurl is None or version is None or dialect is _curl_family(version))
        )
    )


def curl_dialect(files: FileSystem) -> Dialect:
    """Return the family of this node's libcurl, the newest one if its version is unknown."""
    return _curl_family(_libcurl_version(files) or (99, 0))


def _libcurl_version(files: FileSystem) -> tuple[int, int] | None:
    """Return the version of this node's libcurl, or None if it is unknown."""
    if not files.live:
        return None
    try:
        output = command.run(["curl", "--version"], timeout=2.0).stdout
    except CommandError:
        return None
    match = re.search(r"libcurl/(\d+)\.(\d+)", output)
    return (int(match.group(1)), int(match.group(2))) if match else None


def _curl_family(version: tuple[int, int]) -> Dialect:
    """Return the newest family that this version of libcurl has reached."""
    reached = [(dialect.libcurl, dialect) for dialect in DIALECTS if dialect.libcurl and dialect.libcurl <= version]
    return max(reached, key=lambda pair: pair[0])[1]
