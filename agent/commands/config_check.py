"""`config check`: all mistakes in the settings, and in the files that they name."""

from __future__ import annotations

import sys
from typing import Callable, TypeVar

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import Facts
from agent.core.intent import intent
from agent.core.net.ca_certificates import CaCertificates
from agent.core.net.proxy_url import Credentials
from agent.core.noproxy import entries
from agent.core.noproxy.entries import Entry
from agent.core.noproxy.lint import advice
from agent.core.plan.desired import static_files
from agent.core.settings.layers import Layered
from agent.core.settings.schema import Settings
from agent.core.settings.user_data import read_user_data
from agent.errors import AgentError, SettingsError
from agent.node.host import Host
from agent.node.inputs import cluster_info, credentials_notes, credentials_of
from agent.node.sources import read_ca
from agent.node.waiting import order_warnings

T = TypeVar("T")


def check(host: Host, layered: Layered, facts: Facts | None) -> None:
    """Print warnings and the verdict; `facts` are None where they are not known.

    Raises AgentError with everything that is not usable: credentials, CA, NodeConfigs.
    """
    settings = layered.settings
    problems = _Problems()
    credentials = problems.collect(lambda: credentials_of(host, settings))
    ca = problems.collect(lambda: read_ca(host.files, settings))
    # Without the metadata service there are only files.
    user_data = read_user_data(facts.user_data if facts else b"")
    info = problems.collect(lambda: cluster_info(host.files, settings, user_data)) or ClusterInfo()
    for problem in user_data.problems:
        problems.add(SettingsError([problem]))
    for problem in info.problems:
        problems.add(AgentError(problem))
    for line in _warnings(layered, facts, info, credentials, ca):
        print(line, file=sys.stderr)
    for note in credentials_notes(host, settings, "by config check"):
        print("note: " + note, file=sys.stderr)
    for warning in order_warnings(host, static_files(settings)) if settings.proxy.url else ():
        print("warning: " + warning, file=sys.stderr)
    problems.raise_all()
    print("the settings are valid" + ("" if settings.proxy.url else "; without proxy.url nothing is configured"))


class _Problems:
    """Collector of the errors of several readers, so that all are reported."""

    def __init__(self) -> None:
        self._errors: list[AgentError] = []

    def collect(self, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except AgentError as error:
            self.add(error)
            return None

    def add(self, error: AgentError) -> None:
        self._errors.append(error)

    def raise_all(self) -> None:
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            hints = "; ".join(error.hint for error in self._errors if error.hint)
            if any(isinstance(error, SettingsError) for error in self._errors):
                raise SettingsError(map(str, self._errors), hint=hints)
            raise AgentError("\n".join(map(str, self._errors)), hint=hints)


def _warnings(
    layered: Layered,
    facts: Facts | None,
    info: ClusterInfo,
    credentials: Credentials | None,
    ca: CaCertificates | None,
) -> tuple[str, ...]:
    settings = layered.settings
    warnings = layered.warnings + info.warnings + (ca.warnings if ca else ())
    composed = intent.compose(settings, facts, info, credentials) if facts else None
    warnings += composed.warnings if composed else ()
    lines = tuple("warning: " + warning for warning in warnings)
    if not settings.proxy.url:
        return lines
    no_proxy = composed.no_proxy if composed else _entries_of_settings(settings)
    return lines + advice(no_proxy, facts.region if facts else "")


def _entries_of_settings(settings: Settings) -> tuple[Entry, ...]:
    """Return the part of NO_PROXY that follows from the settings alone."""
    return entries.compose(
        vpc_cidrs=settings.vpc.cidrs or (), cluster_domain=settings.cluster.domain, operator=settings.proxy.no_proxy
    )
