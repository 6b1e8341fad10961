"""A NodeConfig: what nodeadm needs to join the cluster, and to reach AWS before the agent is there.

Source: the API reference of nodeadm (amazon-eks-ami, nodeadm/doc/api.md).  Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from agent.core.facts.node_config_yaml import documents
from agent.core.settings.schema import Settings
from agent.core.userdata.early import EarlyProxy
from agent.errors import UsageError

#: Fields of spec.cluster that nodeadm requires (nodeadm/internal/api/validation.go), each with
#: where `render` takes it from.
REQUIRED = {
    "name": "set cluster.name",
    "apiServerEndpoint": "set cluster.endpoint",
    "certificateAuthority": "add --certificate-authority DATA",
    "cidr": "set cluster.service_cidr",
}


def cluster_of(settings: Settings, certificate_authority: str) -> dict[str, str]:
    """Return the fields of spec.cluster that settings and flags know.  Raises UsageError."""
    if certificate_authority and not re.fullmatch(r"[A-Za-z0-9+/]{16,}={0,2}", certificate_authority):
        raise UsageError(
            "--certificate-authority: expected base64, as "
            "`aws eks describe-cluster --query cluster.certificateAuthority.data` prints it"
        )
    cluster = settings.cluster
    host = f"[{cluster.endpoint}]" if ":" in cluster.endpoint else cluster.endpoint
    values = {
        "name": cluster.name,
        "apiServerEndpoint": f"https://{host}" if host else "",
        "certificateAuthority": certificate_authority,
        "cidr": "" if cluster.service_cidr == "auto" else cluster.service_cidr,
    }
    return {key: value for key, value in values.items() if value}


def cluster_in(texts: Iterable[tuple[str, str]]) -> Mapping[str, Any]:
    """Return spec.cluster of NodeConfigs, given as pairs of label and text.  Raises AgentError."""
    cluster: dict[str, Any] = {}
    for _, document in documents(texts):
        spec = document.get("spec") if isinstance(document, dict) else None
        table = spec.get("cluster") if isinstance(spec, dict) else None
        cluster.update((key, value) for key, value in (table if isinstance(table, dict) else {}).items() if value)
    return cluster


def node_config_of(cluster: Mapping[str, str], early: EarlyProxy | None) -> str:
    """Return the YAML of a NodeConfig with these fields; "" if it would have none.

    nodeadm takes `default` into its own environment, and writes it to system.conf.d for units
    without a drop-in.  It has no HTTP_PROXY: nodeadm queries only the metadata service by http.
    """
    if not cluster and early is None:
        return ""
    lines = ["apiVersion: node.eks.aws/v1alpha1", "kind: NodeConfig", "spec:"]
    if cluster:
        lines += ["  cluster:", *(f"    {key}: {json.dumps(value)}" for key, value in cluster.items())]
    if early is not None:
        lines += [
            "  instance:",
            "    environment:",
            "      default:",
            f"        HTTPS_PROXY: {json.dumps(str(early.https[0]))}",
            f"        NO_PROXY: {json.dumps(early.no_proxy)}",
        ]
    return "\n".join([*lines, ""])
