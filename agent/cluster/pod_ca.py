"""The CA bundle for pods: node.ca_bundle and the public CAs of cluster.ca_base."""

from __future__ import annotations

from agent.core.cluster.ca_policy import MAX_BUNDLE
from agent.core.cluster.mode import ENV_FROM
from agent.core.settings.schema import Settings
from agent.edges.files import FileSystem
from agent.errors import FileError, SettingsError
from agent.node.sources import read_certificates


def pod_bundle(files: FileSystem, settings: Settings) -> str:
    """Return the bundle as PEM, or "" without cluster.ca_in_pods.

    Raises SettingsError, and FileError if a file is not readable, not PEM, or too large.
    """
    cluster = settings.cluster
    if not cluster.ca_in_pods:
        return ""
    problems = [
        f"cluster.ca_in_pods requires {what}"
        for what, is_given in (
            ("node.ca_bundle, the CA of the proxy", settings.node.ca_bundle),
            ("cluster.ca_base: its variables replace the trust store of a container", cluster.ca_base),
            ('cluster.injection = "policy" or "auto"', cluster.injection != ENV_FROM),
        )
        if not is_given
    ]
    if problems:
        raise SettingsError(problems)
    base = read_certificates(files, "cluster.ca_base", cluster.ca_base).pem.decode("ascii")
    own = read_certificates(files, "node.ca_bundle", settings.node.ca_bundle).pem.decode("ascii")
    bundle = base if own in base else base + own
    if len(bundle) > MAX_BUNDLE:
        text = f"{len(bundle) // 1024} KiB of certificates; a ConfigMap takes {MAX_BUNDLE // 1024} KiB"
        raise FileError(f"cluster.ca_base: {cluster.ca_base}: {text}", hint="name a file with fewer certificates")
    return bundle
