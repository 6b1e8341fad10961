"""dockerd's own settings of a proxy, which override its environment (Docker 23 and later).

Sources: `configureProxyEnv` of cmd/dockerd/daemon.go, and "Daemon proxy configuration" in Docker's
documentation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from agent.core.plan.elsewhere.place import ProxyPlace

DOCKER = "docker.service"
DAEMON_JSON = "/etc/docker/daemon.json"
_USED_BY = "docker (23 and later), which overrides the agent's values"
_KEYS = {"http-proxy": "HTTP_PROXY", "https-proxy": "HTTPS_PROXY", "no-proxy": "NO_PROXY"}
_FLAG = re.compile(r"--((?:https?|no)-proxy)(?:=|\s+)(\"[^\"]*\"|'[^']*'|\S+)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_RESTART = "restart at a convenient time: systemctl restart docker.service"


def in_daemon_json(content: bytes) -> ProxyPlace | None:
    """Return the place if daemon.json has `proxies`; with invalid JSON docker does not start."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    proxies = document.get("proxies") if isinstance(document, dict) else None
    values = {
        name: proxies[key]
        for key, name in _KEYS.items()
        if isinstance(proxies, dict) and isinstance(proxies.get(key), str) and proxies[key]
    }
    remedy = f'delete "proxies" from {DAEMON_JSON}; {_RESTART}'
    return ProxyPlace(DAEMON_JSON, '"proxies"', _USED_BY, values, remedy, unit=DOCKER) if values else None


def in_command_line(
    lines: Iterable[tuple[str, str, str]], variables: Mapping[str, tuple[str, str]]
) -> Iterator[ProxyPlace]:
    """Yield the places on dockerd's command line that have --http-proxy and the like.

    `lines`: path, key and value of the settings of docker.service, in the order of systemd.
    `variables`: path and value of the variables that its environment files set.
    """
    commands: list[tuple[str, str]] = []
    for path, key, value in lines:
        if key == "ExecStart":
            commands = [*commands, (path, value)] if value else []
    for path, command in commands:
        yield from _place(path, "ExecStart=", command, "systemctl daemon-reload; ")
        for match in _VARIABLE.finditer(command):
            name = match[1] or match[2]
            source, value = variables.get(name, ("", ""))
            yield from _place(source, name, value)


def _place(path: str, setting: str, text: str, command: str = "") -> Iterator[ProxyPlace]:
    flags = {match[1]: match[2].strip("\"'") for match in _FLAG.finditer(text)}
    values = {name: flags[key] for key, name in _KEYS.items() if key in flags}
    if values:
        names = ", ".join(f"--{key}" for key in _KEYS if key in flags)
        remedy = f"delete {names} from {path}; {command}{_RESTART}"
        yield ProxyPlace(path, f"{names} in {setting}", _USED_BY, values, remedy, unit=DOCKER)
