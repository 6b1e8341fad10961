"""Reader of nodeadm: the NodeConfigs of user data.  Pure.

Source: amazon-eks-ami, nodeadm/internal/configprovider (userdata.go, mime.go, encoding.go) and
internal/api/validation.go.
"""

from __future__ import annotations

from agent.core.facts.cluster_hints import ClusterInfo, from_node_configs
from agent.core.net.proxy_url import quoted
from agent.core.record import record
from agent.core.settings.unpack import unpack
from agent.core.settings.user_data import LIMIT, NODE_CONFIG_TYPE
from agent.core.userdata.document import Document, Fault, Treatment
from agent.core.userdata.node_config import REQUIRED, cluster_in
from agent.core.userdata.readers.go_mime import NoBoundaryError, NotMultipartError, multipart_of
from agent.errors import AgentError

NAME = "nodeadm"


@record
class NodeadmReading:
    """The result, and the faults of the NodeConfigs."""

    treatment: Treatment
    faults: tuple[Fault, ...] = ()


def read(document: Document, *, others_add_one: bool) -> NodeadmReading:
    """Return what nodeadm does; `others_add_one`: EKS or Karpenter adds a NodeConfig."""
    try:
        texts = _node_configs(document.text)
    except (ValueError, NoBoundaryError) as error:
        return _fails(str(error))
    if not texts and others_add_one:
        return NodeadmReading(Treatment(NAME, "reads only the NodeConfig that is added"))
    if not texts:
        text = "finds no NodeConfig: it fails, unless EKS, Karpenter or a file in /etc/eks/nodeadm.d adds one"
        return NodeadmReading(Treatment(NAME, text))
    labels = [f"part {number}" if number else "user data" for number, _ in texts]
    plain = [text for _, text in texts]
    try:
        info = from_node_configs(plain, labels)
        cluster = cluster_in((f"NodeConfig ({label})", text) for label, text in zip(labels, plain))
    except AgentError as error:
        return _fails(str(error))
    missing = [name for name in REQUIRED if not cluster.get(name)]
    faults = tuple(_metadata_fault(problem, texts) for problem in info.problems)
    return NodeadmReading(Treatment(NAME, _summary(info, missing, others_add_one)), faults)


def _node_configs(text: bytes) -> list[tuple[int, str]]:
    """Return the number of the part, 0 without parts, and the text of each NodeConfig.

    Raises ValueError.
    """
    try:
        parts = multipart_of(text)
    except NotMultipartError as error:
        if b"node.eks.aws" not in text or b"NodeConfig" not in text:
            return []
        if text.lstrip()[:13].lower() in (b"mime-version:", b"content-type:"):
            raise ValueError(f"it takes the message for YAML: {error}") from None
        return [(0, _decoded(text))]
    return [
        (number, _decoded(unpack(part.content, LIMIT)))
        for number, part in enumerate(parts, 1)
        if part.media_type == NODE_CONFIG_TYPE
    ]


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("a NodeConfig is not UTF-8") from None


def _summary(info: ClusterInfo, missing: list[str], others_add_one: bool) -> str:
    name = f"joins the cluster {quoted(info.name)[1:-1]}" if info.name else "reads a NodeConfig without a cluster"
    if not missing:
        return name
    absent = ", ".join(missing)
    if others_add_one:
        return "merges its NodeConfig with the one that is added, which names the cluster"
    return f"{name}; it fails without {absent}, unless EKS, Karpenter or a file in /etc/eks/nodeadm.d adds them"


def _fails(reason: str) -> NodeadmReading:
    text = f"fails, and the node does not join: {reason}"
    return NodeadmReading(Treatment(NAME, text), (Fault("nodeadm", f"nodeadm-config fails: {reason}"),))


def _metadata_fault(problem: str, texts: list[tuple[int, str]]) -> Fault:
    text, _, remedy = problem.partition("; ")
    number = next((number for number, _ in texts if text.startswith(f"NodeConfig (part {number})")), 0)
    return Fault("hidden-metadata", text.partition(": ")[2], remedy, number)
