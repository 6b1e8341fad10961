"""The owner's CA certificates, in the directory that the distribution's trust store is made of."""

from __future__ import annotations

from agent.core.plan.files.managed_file import Effect, WholeFile


class CaAnchor(WholeFile):
    """One file with all of them."""

    kind = "ca"
    effect = Effect.TRUST_STORE
