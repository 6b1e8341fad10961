"""Package manager of the node, and the file that it reads."""

from __future__ import annotations

from agent.core.plan.files.yum_conf import DNF_CONF, YUM_CONF
from agent.edges.files import FileSystem
from agent.errors import FileError

_DNF = ("/usr/bin/dnf", "/usr/bin/dnf-3", "/usr/bin/dnf5", "/usr/bin/microdnf")
_YUM = "/usr/bin/yum"


def package_manager(files: FileSystem) -> tuple[str, str] | None:
    """Return the package manager and the file that it reads (dnf.conf(5), yum.conf(5)), or None.

    yum is yum 3 where there is no dnf, else a link to dnf.  dnf 5 reads its directories of drop-ins
    first, so that dnf.conf overrides them too (libdnf5, Base::load_config).
    """
    if any(files.status(path) is not None for path in _DNF):
        return "dnf", DNF_CONF
    return ("yum", YUM_CONF) if files.status(_YUM) is not None else None


def needs_yum_conf(files: FileSystem) -> bool:
    """Return True if a missing yum.conf is created: yum or dnf, or their link, is there."""
    try:
        return package_manager(files) is not None or files.resolve(YUM_CONF) != YUM_CONF
    except FileError:
        return True  # the plan reports the loop of links


def has_separate_yum_conf(files: FileSystem) -> bool:
    """Return True if yum.conf is a file of its own instead of a link to dnf.conf.

    No program reads it then.
    """
    if (package_manager(files) or ("", ""))[0] != "dnf":
        return False
    try:
        yum_conf, dnf_conf = files.resolve(YUM_CONF), files.resolve(DNF_CONF)
    except FileError:
        return False
    return (
        yum_conf != dnf_conf and files.state(yum_conf).content is not None and files.state(dnf_conf).content is not None
    )
