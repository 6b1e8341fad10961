"""The passwords of proxies that a node has anywhere, so that a report has them nowhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from agent.core.plan.files.environment import ENVIRONMENT, NODE_ENV
from agent.core.report.masks import credentials_in
from agent.errors import AgentError
from agent.node.credentials import read_credentials
from agent.node.host import Host
from agent.node.sources import SettingsSources, static_settings
from agent.report.node import ReportedNode
from agent.report.units import unit_files

#: Files that may have the URL of a proxy with its password.
_FILES = (NODE_ENV, ENVIRONMENT, "/etc/dnf/dnf.conf", "/etc/yum.conf", "/etc/docker/daemon.json", "/etc/wgetrc")


def known_credentials(host: Host) -> frozenset[str]:
    """Return USER:PASSWORD of each proxy, of the settings, of files and of their originals."""
    return frozenset([*_of_settings(host), *(pair for text in _texts(host) for pair in credentials_in(text))])


def _of_settings(host: Host) -> Iterator[str]:
    with contextlib.suppress(AgentError):
        proxy = static_settings(host.files, SettingsSources()).settings.proxy
        credentials = read_credentials(host, proxy)
        if credentials:
            yield f"{credentials.user}:{credentials.password}"


def _texts(host: Host) -> Iterator[str]:
    contents = [host.files.state(path).content for path in _FILES]
    contents += [content for _, content in unit_files(ReportedNode(host, ""))]
    with contextlib.suppress(AgentError):
        contents += [record.before for record in host.state.baseline().files.values()]
    for content in contents:
        yield (content or b"").decode("utf-8", "surrogateescape")
