"""User data as every reader takes it, and its faults.  Pure."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator

from agent.core.cluster.facts import region_of
from agent.core.facts.cluster_hints import ClusterInfo, from_node_configs, from_scripts
from agent.core.record import evolve, record
from agent.core.settings.user_data import UserData, read_user_data
from agent.core.userdata.document import Document, Fault, Treatment, document_of
from agent.core.userdata.faults.message import faults_of_message
from agent.core.userdata.faults.no_proxy import faults_of_lists
from agent.core.userdata.faults.scripts import faults_of_script, password_fault
from agent.core.userdata.readers import cloud_init, eks, karpenter, nodeadm, own
from agent.core.userdata.way import ADDED, LIMIT, Way
from agent.errors import AgentError


@record
class Report:
    """Report on user data: the treatment by each reader, and the faults.

    `size` is the number of bytes that EC2 counts.
    """

    size: int
    wrapping: str
    treatments: tuple[Treatment, ...]
    faults: tuple[Fault, ...]


def check(raw: bytes, way: Way | None = None) -> Report:
    """Return the report on user data for a way, None if that is unknown.

    A refusal by Karpenter or EKS is a fault only with its way.
    """
    try:
        document = document_of(raw)
    except ValueError as error:
        return Report(len(raw), "", (), (Fault("unreadable", f"user data: {error}"),))
    karpenter_reading, eks_reading = karpenter.read(document), eks.read(document)
    faults: list[Fault] = list(_size_faults(document, way, karpenter_reading))
    on_node, new_lines = document, 0
    if way is Way.KARPENTER:
        faults += karpenter_reading.faults
        new_lines = karpenter_reading.new_lines
        on_node = Document(karpenter_reading.merged, karpenter_reading.merged) if new_lines else document
    elif way in (Way.MANAGED_NODE_GROUP, Way.TERRAFORM):
        faults += eks_reading.faults
    nodeadm_reading = nodeadm.read(on_node, others_add_one=way not in (None, Way.LAUNCH_TEMPLATE))
    own_reading = own.read(on_node)
    treatments: list[Treatment] = []
    try:
        treatments += cloud_init.read(on_node)
        faults += (_moved(fault, new_lines) for fault in _text_faults(on_node))
    except ValueError as error:
        faults.append(Fault("unreadable", f"user data: {error}"))
    treatments.append(nodeadm_reading.treatment)
    treatments += [karpenter_reading.treatment] if way in (None, Way.KARPENTER) else []
    treatments += [eks_reading.treatment] if way in (None, Way.MANAGED_NODE_GROUP, Way.TERRAFORM) else []
    treatments.append(own_reading.treatment)
    faults += [*nodeadm_reading.faults, *own_reading.faults]
    return Report(_size(document), document.wrapping, tuple(treatments), _unique(faults))


def _moved(fault: Fault, new_lines: int) -> Fault:
    """Return the fault with the line of the text that Karpenter was given."""
    return evolve(fault, line=max(0, fault.line - new_lines))


def _size(document: Document) -> int:
    """Return the bytes that EC2 counts: those of what the API gets in base64."""
    if document.wrapping != "base64":
        return len(document.raw)
    return len(base64.b64decode(document.raw))


def _size_faults(document: Document, way: Way | None, reading: karpenter.KarpenterReading) -> Iterator[Fault]:
    size = _size(document)
    if way is Way.KARPENTER:
        packed = len(gzip.compress(reading.merged, 9))
        if min(packed, size) > LIMIT:
            yield Fault("size", f"user data has {packed:,} bytes compressed; EC2 takes at most {LIMIT:,}", _SMALLER)
        return
    if size > LIMIT:
        yield Fault("size", f"user data has {size:,} bytes; EC2 takes at most {LIMIT:,}", _SMALLER)
    elif size + ADDED > LIMIT and way in (Way.MANAGED_NODE_GROUP, Way.TERRAFORM):
        text = f"user data has {size:,} of {LIMIT:,} bytes, and EKS adds up to {ADDED:,}"
        yield Fault("size", text, _SMALLER)


_SMALLER = "compress it with gzip where the way allows that, or keep large values in the image"


def _text_faults(document: Document) -> Iterator[Fault]:
    yield from faults_of_message(document)
    info = _cluster(document)
    for part in cloud_init.parts_of(document):
        yield from password_fault(part)
        yield from faults_of_script(part)
        if part.is_script or part.type == cloud_init.CONFIG:
            yield from faults_of_lists(part, info.service_cidrs, region_of(info.endpoint))


def _cluster(document: Document) -> ClusterInfo:
    """Return what the user data says of the cluster, nothing if it cannot be read."""
    try:
        user_data: UserData = read_user_data(document.raw)
        info = from_node_configs(user_data.node_configs) if user_data.node_configs else ClusterInfo()
    except AgentError:
        return ClusterInfo()
    scripts = from_scripts(user_data.scripts)
    return ClusterInfo(
        endpoint=info.endpoint or scripts.endpoint, service_cidrs=info.service_cidrs or scripts.service_cidrs
    )


def _unique(faults: list[Fault]) -> tuple[Fault, ...]:
    return tuple(sorted(dict.fromkeys(faults), key=lambda fault: (fault.part, fault.line)))
