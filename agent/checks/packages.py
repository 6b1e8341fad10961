"""Proxy that yum or dnf really uses."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from agent.checks.context import NEEDS_ROOT, CheckedNode, is_denied
from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.core.plan.files.yum_conf import DNF_CONF, YUM_CONF, effective
from agent.core.redact import redact_proxy
from agent.edges.files import FileSystem
from agent.errors import FileError

GROUP = "packages"
_DNF = ("/usr/bin/dnf", "/usr/bin/dnf-3", "/usr/bin/dnf5", "/usr/bin/microdnf")
_REPOSITORIES = "/etc/yum.repos.d"
#: Values with which a repository does not use the proxy of [main] (dnf.conf(5), yum.conf(5)).
_NONE = ("", "_none_")
#: The hint for a file that `apply` cannot change.
FIX_BY_HAND = "fix it by hand, then run: eks-proxy-agent apply"


def check(node: CheckedNode) -> Iterator[Finding]:
    """Read the files as yum and dnf do.

    The last `proxy` of [main] applies, and that of a repository overrides it.
    """
    files = node.host.files
    manager = _manager(files)
    if not node.settings.node.yum:
        yield Finding(GROUP, "proxy", SKIP, "node.yum is false")
    elif manager is None:
        yield Finding(GROUP, "proxy", SKIP, "neither yum nor dnf is installed")
    else:
        yield _main_proxy(node, *manager)
        for name in files.names(_REPOSITORIES):
            if name.endswith(".repo"):
                yield from _repositories(node, f"{_REPOSITORIES}/{name}")


def has_separate_yum_conf(files: FileSystem) -> bool:
    """Return True if yum.conf is a file of its own instead of a link to dnf.conf.

    No program reads it then.
    """
    if (_manager(files) or ("", ""))[0] != "dnf":
        return False
    try:
        yum_conf, dnf_conf = files.resolve(YUM_CONF), files.resolve(DNF_CONF)
    except FileError:
        return False
    return (
        yum_conf != dnf_conf and files.state(yum_conf).content is not None and files.state(dnf_conf).content is not None
    )


def _manager(files: FileSystem) -> tuple[str, str] | None:
    """Return the package manager and the file that it reads (dnf.conf(5), yum.conf(5)), or None.

    yum is yum 3 where there is no dnf, else a link to dnf.  dnf 5 reads its directories of drop-ins
    first, so that dnf.conf overrides them too (libdnf5, Base::load_config).
    """
    if any(_exists(files, path) for path in _DNF):
        return "dnf", DNF_CONF
    if _exists(files, "/usr/bin/yum"):
        return "yum", YUM_CONF
    return None


def _exists(files: FileSystem, path: str) -> bool:
    return files.status(path) is not None


def _main_proxy(node: CheckedNode, program: str, path: str) -> Finding:
    files, intent = node.host.files, node.intent
    if has_separate_yum_conf(files):
        text = f"not a link to {DNF_CONF} any more; dnf ignores it"
        link = f"ln -sfn {posixpath.relpath(DNF_CONF, posixpath.dirname(YUM_CONF))} {YUM_CONF}"
        return Finding(GROUP, YUM_CONF, FAIL, text, link)
    resolved = files.resolve(path)
    state = files.state(resolved)
    if state.problem:
        return _unreadable(path, state.problem)
    credentials = intent.credentials if node.settings.proxy.credentials_in_yum else None
    desired = intent.http_proxy.with_credentials(credentials)
    actual = effective(state.content or b"").get("main", "")
    if actual == desired:
        return Finding(GROUP, path, OK, f"{program} uses {redact_proxy(actual)}")
    if resolved == files.resolve(YUM_CONF):
        return Finding(GROUP, path, SKIP, "not as planned (see files)")
    text = f"{program} uses {redact_proxy(actual) or 'no proxy'}"
    return Finding(GROUP, path, FAIL, text, f"make {YUM_CONF} a link to it, then run: eks-proxy-agent apply")


def _repositories(node: CheckedNode, path: str) -> Iterator[Finding]:
    state = node.host.files.state(node.host.files.resolve(path))
    if state.problem:
        yield _unreadable(path, state.problem)
    for section, value in effective(state.content or b"").items():
        if section != "main" and value != str(node.intent.http_proxy):
            override = f"uses {redact_proxy(value)}, which overrides the proxy of [main]"
            text = f"[{section}] {'does not use the proxy of [main]' if value in _NONE else override}"
            yield Finding(GROUP, path, WARN, text, "remove the proxy line unless it is intended")


def _unreadable(path: str, problem: str) -> Finding:
    if is_denied(problem):
        return Finding(GROUP, path, SKIP, NEEDS_ROOT)
    return Finding(GROUP, path, FAIL, problem, FIX_BY_HAND)
