"""Is that direct which has to be, for every client that is here, with the list that a process gets when it starts now?"""

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
#: By reason: what breaks a node when it goes through the proxy.
REASONS = ("metadata", "credentials", "vpc", "service-cidr", "cluster-domain", "internal", "api-endpoint")
_DIRECTORIES = ("/usr/bin", "/usr/sbin", "/usr/local/bin")


def check(node: CheckedNode) -> Iterator[Finding]:
    """Compared with the list that this moment's facts would give: where even that cannot help a client, it is told."""
    if node.now is None or node.now.intent is None:
        return
    environment = _environment(node.host.files)
    if "no_proxy" not in environment:
        yield Finding(GROUP, "list", SKIP, "there is none yet (see files)" if is_root() else NEEDS_ROOT)
        return
    dialects = _here(node.host.files)
    entries: dict[str, list[Entry]] = {}
    for entry in node.now.intent.no_proxy:
        entries.setdefault(entry.reason, []).append(entry)
    wanted = render(node.now.intent.no_proxy)
    for reason in REASONS:
        if reason in entries:
            yield _covered(reason, entries[reason], dialects, environment, wanted)


def target(entry: Entry) -> Request:
    """Something that the entry is meant for: an address in the network, a name below a domain."""
    value = entry.value.strip("[]")
    if "/" in value:
        network = ipaddress.ip_network(value)
        value = str(network[min(7, network.num_addresses - 1)])  # not ...::1, the ending of which is in every list
    elif value.startswith("."):
        value = "name" + value
    scheme = "http" if entry.reason in ("metadata", "credentials") else "https"
    return parse_request("{}://{}/".format(scheme, f"[{value}]" if ":" in value else value))


def _covered(
    reason: str, entries: Sequence[Entry], dialects: Sequence[Dialect], environment: Mapping[str, str], wanted: str
) -> Finding:
    lost: dict[str, list[Dialect]] = {}
    beyond: dict[str, list[Dialect]] = {}
    for entry in entries:
        aim, value = target(entry), entry.value.strip("[]")
        beyond.setdefault(value, [])
        for dialect in dialects:
            if dialect.bypass(aim, dialect.variables.exceptions(environment)) is not None:
                continue
            found = lost if dialect.bypass(aim, wanted) is not None else beyond
            if dialect not in found.setdefault(value, []):
                found[value].append(dialect)
    if lost:
        text = "; ".join(
            f"{value} is missing: through the proxy for {titles(who, dialects)}" for value, who in lost.items()
        )
        hint = "eks-proxy-agent apply, then restart what it names"
        return Finding(GROUP, reason, FAIL, text, hint)
    return Finding(GROUP, reason, OK, ". ".join(_shown(beyond, dialects)))


def _shown(beyond: Mapping[str, Sequence[Dialect]], dialects: Sequence[Dialect]) -> Iterator[str]:
    """The entries with the clients that they serve, those that serve the same clients together."""
    alike: dict[tuple[Dialect, ...], list[str]] = {}
    for value, who in beyond.items():
        alike.setdefault(tuple(who), []).append(value)
    for who, values in alike.items():
        text = "{}: direct for {}".format(
            ", ".join(values), titles((one for one in dialects if one not in who), dialects)
        )
        cannot = f"; through the proxy for {titles(who, dialects)}, which can exempt no such network"
        yield text + cannot * bool(who)


def _environment(files: FileSystem) -> Mapping[str, str]:
    """What systemd would give a unit; /etc/environment for those who may not read node.env."""
    for path in (NODE_ENV, ENVIRONMENT):
        content = files.state(files.resolve(path)).content
        if content is not None:
            return assignments(content)
    return {}


def _here(files: FileSystem) -> tuple[Dialect, ...]:
    """The families of which a client is installed; Go always, the runtimes are written in it."""
    names = {name for directory in _DIRECTORIES for name in files.names(directory)}
    curl = _libcurl(files)
    return tuple(
        dialect
        for dialect in DIALECTS
        if dialect.name == "go"
        or (
            names.intersection(dialect.clients)
            and (dialect.libcurl is None or curl is None or dialect is _curl_family(curl))
        )
    )


def _libcurl(files: FileSystem) -> tuple[int, int] | None:
    """Return the version of this node's libcurl, or None when it cannot be told."""
    if not files.live:
        return None
    try:
        said = command.run(["curl", "--version"], timeout=2.0).stdout
    except CommandError:
        return None
    match = re.search(r"libcurl/(\d+)\.(\d+)", said)
    return (int(match.group(1)), int(match.group(2))) if match else None


def _curl_family(version: tuple[int, int]) -> Dialect:
    """Return the newest family that this version of libcurl has reached."""
    reached = [(dialect.libcurl, dialect) for dialect in DIALECTS if dialect.libcurl and dialect.libcurl <= version]
    return max(reached, key=lambda pair: pair[0])[1]
