"""Sections of docs/troubleshooting.md: the one table from a result or phase to its anchor.

A test compares the anchors with the headings of the page.
"""

from __future__ import annotations

#: The page on a node with the package; the RPM installs docs/ there.
PAGE = "/usr/share/doc/eks-proxy-agent/docs/troubleshooting.md"

#: Group of `check` → anchor.
GROUPS = {
    "settings": "settings-are-invalid",
    "metadata": "metadata-service-fails",
    "files": "files-differ",
    "units": "drop-in-not-in-force",
    "processes": "old-environment",
    "proxy": "proxy-is-down",
    "direct": "direct-destination-unreachable",
    "no-proxy": "no_proxy-lacks-an-entry",
    "packages": "dnf-hangs",
    "elsewhere": "another-place-sets-a-proxy",
    "clock": "clock-skew",
}
#: Topic of a finding whose section is not that of its group → anchor.  The topics of the group
#: `proxy` are the kinds of its verdict (agent/core/net/proxy_health.py).
TOPICS = {
    "agent": "agent-not-running",
    "contested": "contested-file",
    "credentials": "407-proxy-authentication-required",
    "degraded": "phase-degraded",
    "denied": "proxy-denies-a-destination",
    "disabled": "node-notready",
    "failed check": "check-itself-fails",
    "metadata": "metadata-through-the-proxy",
    "tls-untrusted": "x509-unknown-authority",
    "upstream": "proxy-denies-a-destination",
}
#: Phase of a node that needs attention (agent/core/status/document.py) → anchor.
PHASES = {
    "degraded": "phase-degraded",
    "unconfigured": "phase-unconfigured",
    "not run": "phase-not-run",
}


def section(group: str, topic: str = "") -> str:
    """Return the anchor for a finding of `check`.  Raises KeyError if its group has none."""
    return TOPICS.get(topic) or GROUPS[group]


def location(anchor: str) -> str:
    """Return where a section is on a node, as `check` and `status` print it."""
    return f"{PAGE}#{anchor}"
