"""The world as the soak made it: what the node must look like, and what may degrade it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

NAMES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY")
ENVIRONMENT, NODE_ENV, DNF = "/etc/environment", "/etc/eks-proxy-agent/node.env", "/etc/dnf/dnf.conf"
CONFIG, CONFIG_D, CREDENTIALS = (f"/etc/eks-proxy-agent/{name}" for name in ("config.toml", "config.d", "credentials"))
ADDRESSES = ("192.0.2.14", "192.0.2.15", "192.0.2.16")
UNITS = ("containerd", "docker", "kubelet")
OPTIONAL_UNITS = ("amazon-ssm-agent", "cfn-hup", "sandbox-image")
USER = "svc-soak"

_OURS = re.compile(rb"(%s)=" % "|".join(NAMES).encode())
_EMPTY_MAIN = re.compile(rb"^\[main\]\n+(?=\[|\Z)", re.M)


def drop_in(unit: str) -> str:
    """Return the path of a unit's drop-in."""
    return f"/etc/systemd/system/{unit}.service.d/zz-eks-proxy.conf"


def others_of(path: str, content: bytes) -> bytes:
    """Return the lines of a shared file that are not the agent's."""
    lines = content.splitlines(keepends=True)
    if path == DNF:
        return b"".join(line for line in lines if not re.match(rb"proxy(_username|_password)?\s*=", line))
    return b"".join(line for line in lines if not _OURS.match(line))


@dataclass
class World:
    """All that the events change; a replay with the same seed makes the same worlds."""

    urls: list[str] = field(default_factory=lambda: list(ADDRESSES))
    password: str = "Tr0ub4dor0"
    no_proxy: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=lambda: [*UNITS, *OPTIONAL_UNITS])
    has_environment: bool = True
    has_yum: bool = True
    is_yum_private: bool = False
    wrong: str = ""  # what the error of wrong settings must say; empty: they are valid
    is_removed: bool = False  # no settings at all
    cidrs: list[str] = field(default_factory=lambda: ["10.0.0.0/16", "100.64.0.0/16"])
    metadata: str = "well"
    alive: set[str] = field(default_factory=lambda: set(ADDRESSES))
    full: str = ""  # "/run" or "/var"
    ahead: int = 0
    blocked: str = ""  # a managed file that is a link to /dev/null
    linked: int = 0  # /etc/environment is a link to environment.real-N
    others: dict[str, bytes] = field(default_factory=dict)  # lines of others in the shared files
    earlier: dict[str, set[bytes]] = field(default_factory=dict)  # what those were before
    deleted: set[str] = field(default_factory=set)  # shared files that were deleted once
    secrets: set[str] = field(default_factory=set)

    @property
    def conditions(self) -> list[str]:
        """What is out of order now."""
        every = {
            "wrong": self.wrong,
            "removed": self.is_removed,
            "metadata": self.metadata != "well",
            "proxies": len(self.alive) < len(ADDRESSES),
            "full": self.full,
            "blocked": self.blocked,
        }
        return [name for name, value in every.items() if value]

    @property
    def is_metadata_well(self) -> bool:
        """Return True if each response of the metadata service is usable in time."""
        return self.metadata == "well"

    def edit(self, path: str, others: bytes) -> None:
        """Record that the lines of others in a shared file are these now."""
        self.earlier.setdefault(path, set()).add(self.others[path])
        self.others[path] = others

    def accept(self, path: str, others: bytes) -> bool:
        """Return True for lines that the file should have.

        If it was deleted, the agent restores the original when it no longer needs the file.
        """
        if _are_alike(path, others, self.others[path]):
            return True
        if path in self.deleted and any(_are_alike(path, others, before) for before in self.earlier[path]):
            self.others[path] = others
            return True
        return False

    def config(self) -> str:
        """Return config.toml; JSON strings and lists are TOML too."""
        urls = [f"http://{address}:3128" for address in self.urls]
        return f"""\
[proxy]
url = {json.dumps(urls)}
credentials_file = "{CREDENTIALS}"
credentials_in_yum = {json.dumps(self.is_yum_private)}
no_proxy = {json.dumps(self.no_proxy)}

[aws]
direct = ["ec2"]

[cluster]
endpoint_access = "private"

[check]
# Resolved by the proxies; the registry uses plain HTTP.
endpoints = ["registry.example.test:5000"]

[node]
units = {json.dumps(self.units)}
environment = {json.dumps(self.has_environment)}
yum = {json.dumps(self.has_yum)}

[watch]
interval = 10
failover_after = 10
"""

    def credentials(self) -> str:
        """Return the credentials file."""
        return f"{USER}:{self.password}\n"

    def must_degrade(self) -> list[str]:
        """Return patterns of which the error must match one; none if the node need not degrade."""
        patterns = [self.wrong] if self.wrong else []
        # Without settings the next cycle comes after ten minutes.
        if self.metadata not in ("well", "late", "flapping") and not self.is_removed:
            patterns.append("metadata service")
        if self.blocked and not self.is_removed:
            patterns.append(re.escape(self.blocked))
        return patterns

    def may_degrade(self) -> list[str]:
        """Return patterns for every reason that the world has for a degraded node."""
        patterns = self.must_degrade()
        if self.metadata != "well":
            patterns.append("metadata service")
        if self.full:
            patterns.append("No space left|cannot be written|cannot be created")
        if self.blocked:
            patterns.append(re.escape(self.blocked))
        return patterns


def _are_alike(path: str, others: bytes, expected: bytes) -> bool:
    """Return True if lines of others are those expected, up to a section that has none of them."""
    if path != DNF:
        return others == expected
    if b"[main]" not in expected:
        others = others.replace(b"[main]\n", b"")  # the agent adds the section that its line needs
    # An empty section says nothing; the agent leaves it if the original had it.
    return _EMPTY_MAIN.sub(b"", others) == _EMPTY_MAIN.sub(b"", expected)
