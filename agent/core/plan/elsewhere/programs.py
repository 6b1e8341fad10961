"""Files that set a proxy for login shells, wget or docker: text only, nothing is run."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.core.plan.elsewhere.place import ProxyPlace, is_proxy_name
from agent.core.plan.files.env_readers import shell_assignments
from agent.core.plan.files.environment import assignments

PROFILE_D = "/etc/profile.d"
WGETRC = "/etc/wgetrc"
#: The file of the docker packages of Amazon Linux and EL, and of Debian.
DOCKER_ENVIRONMENTS = ("/etc/sysconfig/docker", "/etc/default/docker")
_WGET = {"httpproxy": "http_proxy", "httpsproxy": "https_proxy", "noproxy": "no_proxy", "useproxy": "use_proxy"}
_VARIABLE = re.compile(rb"\$(?:\{(\w+)\}|(\w+))")


def in_profile(path: str, content: bytes) -> ProxyPlace | None:
    """Return the place if a file of profile.d sets a proxy; a function in it counts as if called.

    A value may name a variable that the file has set before.
    """
    values: dict[bytes, bytes] = {}
    for name, value in shell_assignments(content):
        values[name] = _VARIABLE.sub(lambda match: values.get(match[1] or match[2], match[0]), value)
    proxies = {name.decode("ascii"): value.decode("utf-8", "replace") for name, value in values.items()}
    return _place(path, "login shells", {name: value for name, value in proxies.items() if is_proxy_name(name)})


def in_wgetrc(content: bytes) -> ProxyPlace | None:
    """Return the place if wgetrc sets a proxy, which overrides wget's environment (wget(1))."""
    values: dict[str, str] = {}
    for line in content.decode("utf-8", "replace").splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        name = _WGET.get(re.sub("[-_]", "", key.lower()))
        if name and equals:
            values[name] = value
    if values.get("use_proxy", "").lower() not in ("off", "no", "0"):
        values.pop("use_proxy", None)
    return _place(WGETRC, "wget", values)


def in_docker_environment(path: str, content: bytes) -> ProxyPlace | None:
    """Return the place if the environment file of docker's package sets a proxy."""
    values = {name: value for name, value in assignments(content).items() if is_proxy_name(name)}
    return _place(path, "docker where its unit has no drop-in of the agent", values)


def _place(path: str, used_by: str, values: Mapping[str, str]) -> ProxyPlace | None:
    return ProxyPlace(path, "", used_by, values, f"delete these lines from {path}") if values else None
