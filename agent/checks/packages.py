"""Which proxy will yum or dnf really use?"""

from __future__ import annotations

import os
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
#: What takes [main]'s proxy away from a repository (dnf.conf(5), yum.conf(5)).
_NONE = ("", "_none_")


def check(node: CheckedNode) -> Iterator[Finding]:
    """Read as they read: the last `proxy` of [main] wins, and that of a repository wins over it."""
    files = node.host.files
    manager = _manager(files)
    if not node.settings.node.yum:
        yield Finding(GROUP, "proxy", SKIP, "node.yum is false")
    elif manager is None:
        yield Finding(GROUP, "proxy", SKIP, "there is neither yum nor dnf")
    else:
        yield _used(node, *manager)
        for name in files.names(_REPOSITORIES):
            if name.endswith(".repo"):
                yield from _repository(node, f"{_REPOSITORIES}/{name}")


def split(files: FileSystem) -> bool:
    """Whether yum.conf should be a link to dnf.conf and is a file of its own: what is written there reaches nobody."""
    if (_manager(files) or ("", ""))[0] != "dnf":
        return False
    try:
        own, other = files.resolve(YUM_CONF), files.resolve(DNF_CONF)
    except FileError:
        return False
    return own != other and files.state(own).content is not None and files.state(other).content is not None


def _manager(files: FileSystem) -> tuple[str, str] | None:
    """The program and the file that it reads (dnf.conf(5), yum.conf(5)); yum is yum 3 where there is no dnf, else a link to it.

    dnf 5 reads its directories of drop-ins first, so that dnf.conf wins over them too (libdnf5,
    Base::load_config).
    """
    if any(_there(files, path) for path in _DNF):
        return "dnf", DNF_CONF
    if _there(files, "/usr/bin/yum"):
        return "yum", YUM_CONF
    return None


def _there(files: FileSystem, path: str) -> bool:
    return os.path.exists(files.real(files.resolve(path)))


def _used(node: CheckedNode, program: str, path: str) -> Finding:
    files, intent = node.host.files, node.intent
    if split(files):
        text = f"is a file of its own and no link any more: dnf reads {DNF_CONF} alone, and nobody what is changed here"
        link = f"ln -sfn {posixpath.relpath(DNF_CONF, posixpath.dirname(YUM_CONF))} {YUM_CONF}"
        return Finding(GROUP, YUM_CONF, FAIL, text, link)
    resolved = files.resolve(path)
    state = files.state(resolved)
    if state.problem:
        return _unreadable(path, state.problem)
    secret = intent.credentials if node.settings.proxy.credentials_in_yum else None
    wanted, used = intent.http_proxy.with_credentials(secret), effective(state.content or b"").get("main", "")
    if used == wanted:
        return Finding(GROUP, path, OK, f"{program} uses {redact_proxy(used)}")
    if resolved == files.resolve(YUM_CONF):
        return Finding(GROUP, path, SKIP, "is not as planned (see files)")
    text = "{} uses {}".format(program, redact_proxy(used) or "no proxy")
    return Finding(GROUP, path, FAIL, text, f"link {YUM_CONF} to it, then: eks-proxy-agent apply")


def _repository(node: CheckedNode, path: str) -> Iterator[Finding]:
    state = node.host.files.state(node.host.files.resolve(path))
    if state.problem:
        yield _unreadable(path, state.problem)
    for section, value in effective(state.content or b"").items():
        if section != "main" and value != str(node.intent.http_proxy):
            own = f"has a proxy of its own, {redact_proxy(value)}, which wins there"
            text = "[{}] {}".format(section, "goes without the proxy of [main]" if value in _NONE else own)
            yield Finding(GROUP, path, WARN, text, "take the line out, unless it is meant so")


def _unreadable(path: str, problem: str) -> Finding:
    if is_denied(problem):
        return Finding(GROUP, path, SKIP, NEEDS_ROOT)
    return Finding(GROUP, path, FAIL, problem, "mend it by hand, then: eks-proxy-agent apply")
