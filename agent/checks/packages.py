"""Proxy that yum or dnf really uses."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Callable

from agent.checks import no_proxy
from agent.checks.context import NEEDS_ROOT, CheckedNode, is_denied
from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.core.noproxy.dialects.request import PORTS, Request, parse_request
from agent.core.noproxy.entries import render
from agent.core.plan.desired import package_proxy
from agent.core.plan.files.yum_conf import DNF_CONF, YUM_CONF, effective
from agent.core.plan.files.yum_settings import values_in
from agent.core.redact import redact_proxy
from agent.edges.files import FileSystem
from agent.node.package_manager import has_separate_yum_conf, package_manager

GROUP = "packages"
_REPOSITORIES = "/etc/yum.repos.d"
#: The directories of files whose names are variables in the URLs of repositories, the later first.
_VARIABLES = ("/etc/dnf/vars", "/etc/yum/vars")
_URLS = ("baseurl", "mirrorlist", "metalink")
_OFF = ("0", "false", "no", "off")
#: Values with which a repository does not use the proxy of [main] (dnf.conf(5), yum.conf(5)).
_NONE = ("", "_none_")
#: From the settings of a repository to its hosts that NO_PROXY exempts.
ExemptHosts = Callable[[Mapping[str, str]], tuple[str, ...]]
#: The hint for a file that `apply` cannot change.
FIX_BY_HAND = "fix it by hand, then run: eks-proxy-agent apply"


def check(node: CheckedNode) -> Iterator[Finding]:
    """Read the files as yum and dnf do.

    The last `proxy` of [main] applies, and that of a repository overrides it.  NO_PROXY counts only
    if it is in the environment of yum or dnf, which a timer may not have.
    """
    files = node.host.files
    manager = package_manager(files)
    if not node.settings.node.yum:
        yield Finding(GROUP, "proxy", SKIP, "node.yum is false")
    elif manager is None:
        yield Finding(GROUP, "proxy", SKIP, "neither yum nor dnf is installed")
    else:
        program, path = manager
        yield _main_proxy(node, program, path)
        names = (f"{_REPOSITORIES}/{name}" for name in files.names(_REPOSITORIES) if name.endswith(".repo"))
        exempt_hosts = _exempt_hosts(node)
        for repositories in (*names, path):
            yield from _repositories(node, program, repositories, exempt_hosts)


def _main_proxy(node: CheckedNode, program: str, path: str) -> Finding:
    files = node.host.files
    if has_separate_yum_conf(files):
        text = f"not a link to {DNF_CONF} any more; dnf ignores it"
        link = f"ln -sfn {posixpath.relpath(DNF_CONF, posixpath.dirname(YUM_CONF))} {YUM_CONF}"
        return Finding(GROUP, YUM_CONF, FAIL, text, link)
    resolved = files.resolve(path)
    state = files.state(resolved)
    if state.problem:
        return _unreadable(path, state.problem)
    desired = package_proxy(node.settings, node.intent)
    actual = effective(state.content or b"").get("main", "")
    if actual == desired:
        return Finding(GROUP, path, OK, f"{program} uses {redact_proxy(actual)}")
    if resolved == files.resolve(YUM_CONF):
        return Finding(GROUP, path, SKIP, "not as planned (see files)")
    text = f"{program} uses {redact_proxy(actual) or 'no proxy'}"
    return Finding(GROUP, path, FAIL, text, f"make {YUM_CONF} a link to it, then run: eks-proxy-agent apply")


def _repositories(node: CheckedNode, program: str, path: str, exempt_hosts: ExemptHosts) -> Iterator[Finding]:
    state = node.host.files.state(node.host.files.resolve(path))
    if state.problem and path.startswith(_REPOSITORIES):
        yield _unreadable(path, state.problem)
    exempt: list[str] = []
    for section, values in values_in(state.content or b"").items():
        if section == "main":
            continue
        hosts = exempt_hosts(values)
        override = _override(values, program, str(node.intent.https_proxy), is_exempt=bool(hosts))
        if override:
            what = "proxy line" if "proxy" in values else "user and password"
            yield Finding(GROUP, path, WARN, f"[{section}] {override}", f"remove the {what} unless it is intended")
        elif hosts and "proxy" not in values:
            exempt.append(f"[{section}] ({', '.join(hosts)})")
    if exempt:
        text = f"{program} uses the proxy for {', '.join(exempt)} if its environment lacks NO_PROXY, which exempts them"
        line = "proxy=_none_" if program == "yum" else "proxy="
        yield Finding(GROUP, path, WARN, text, f"to reach them directly, add to each of these sections: {line}")


def _override(values: Mapping[str, str], program: str, proxy: str, *, is_exempt: bool) -> str:
    """Return how a repository differs from [main], empty if it does not."""
    value = values.get("proxy", proxy)
    if value in _NONE:
        return "" if is_exempt else "does not use the proxy of [main]"
    if value != proxy:
        return f"uses {redact_proxy(value)}, which overrides the proxy of [main]"
    return f"has a proxy_username, which {program} sends to the proxy" if values.get("proxy_username") else ""


def _exempt_hosts(node: CheckedNode) -> ExemptHosts:
    """Return the function that finds a repository's exempt hosts, by the rules of libcurl."""
    dialect, exceptions = no_proxy.curl_dialect(node.host.files), render(node.intent.no_proxy)
    variables = _variables(node.host.files)

    def exempt_hosts(values: Mapping[str, str]) -> tuple[str, ...]:
        if values.get("enabled", "1").lower() in _OFF:
            return ()
        requests = filter(None, (_request(url, variables) for key in _URLS for url in values.get(key, "").split()))
        exempt = (request for request in requests if dialect.bypass(request, exceptions) is not None)
        return tuple(dict.fromkeys(request.host for request in exempt))

    return exempt_hosts


def _request(url: str, variables: Mapping[str, str]) -> Request | None:
    """Return the target of a URL with variables; None for a file, or if a variable is not set."""
    name = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
    scheme, _, rest = url.strip(",").partition("://")
    authority = name.sub(lambda match: variables.get(match[1] or match[2], match[0]), rest).partition("/")[0]
    try:
        return parse_request(f"{scheme}://{authority}") if scheme in PORTS else None
    except ValueError:
        return None


def _variables(files: FileSystem) -> dict[str, str]:
    """Return the variables that dnf and yum replace in URLs, such as awsregion (dnf.conf(5))."""
    variables: dict[str, str] = {}
    for directory in _VARIABLES:
        for name in files.names(directory):
            content = files.state(files.resolve(f"{directory}/{name}")).content
            variables.setdefault(name, (content or b"").decode("utf-8", "replace").strip())
    return variables


def _unreadable(path: str, problem: str) -> Finding:
    if is_denied(problem):
        return Finding(GROUP, path, SKIP, NEEDS_ROOT)
    return Finding(GROUP, path, FAIL, problem, FIX_BY_HAND)
