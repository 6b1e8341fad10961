"""The operator's CA certificates, in the source directory of the distribution's trust store."""

from __future__ import annotations

from agent.core.plan.files.managed_file import Effect, WholeFile


class CaAnchor(WholeFile):
    """One file with all CA certificates of node.ca_bundle."""

    kind = "ca"
    effect = Effect.TRUST_STORE
