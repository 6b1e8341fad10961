"""`cluster service-cidr`: ask the cluster, by the surest way that it has."""

from __future__ import annotations

import argparse
import json
import sys

from agent.core.cluster.kubectl_errors import applied_range
from agent.core.cluster.service_cidr import OUTSIDE, ServiceRange, addresses_of, from_service_cidrs, guessed
from agent.edges.kubectl import Kubectl, KubectlError
from agent.errors import AgentError

_SERVICE = "/api/v1/namespaces/default/services/kubernetes"
_APIS = ("v1", "v1beta1")
_DOING = "asking for the service CIDR"


def print_service_range(arguments: argparse.Namespace, kubectl: Kubectl) -> int:
    """The CIDRs on stdout, how they are known on stderr; exit code 1 when only addresses are known."""
    found = ask_service_range(kubectl)
    if arguments.json:
        print(json.dumps({"schema": 1, "cidrs": found.cidrs, "addresses": found.addresses, "how": found.how}, indent=2))
    else:
        for cidr in found.cidrs:
            print(cidr)
        if found.cidrs:
            print(f"known because {found.how}", file=sys.stderr)
    if not found.cidrs:
        hint = "aws eks describe-cluster --name NAME --query cluster.kubernetesNetworkConfig tells it"
        raise AgentError(f"the service CIDR is not known: {found.how}", hint=hint)
    return 0


def ask_service_range(kubectl: Kubectl) -> ServiceRange:
    """The ServiceCIDR API where there is one, else what EKS would have chosen, else what the server itself refuses.

    Raises AgentError when the cluster cannot be asked at all.
    """
    service = kubectl.get(_SERVICE, _DOING)
    try:
        addresses = addresses_of(service)
    except ValueError as error:
        raise AgentError(f"{_DOING}: the Service default/kubernetes: {error}") from None
    told = _service_cidr_api(kubectl, addresses)
    if told is not None:
        return told
    found = guessed(addresses)
    return found if found.cidrs else _refused(kubectl, found)


def _service_cidr_api(kubectl: Kubectl, addresses: tuple[str, ...]) -> ServiceRange | None:
    for version in _APIS:
        try:
            listing = kubectl.find(f"/apis/networking.k8s.io/{version}/servicecidrs", _DOING)
            cidrs = from_service_cidrs(listing) if listing else ()
        except KubectlError as error:
            if error.reason != "Forbidden":  # without this right the other ways are left
                raise
            return None
        except ValueError as error:
            raise AgentError(f"{_DOING}: a ServiceCIDR: {error}") from None
        if cidrs:
            return ServiceRange(cidrs, addresses, f"the ServiceCIDR API (networking.k8s.io/{version}) lists it")
    return None


def _refused(kubectl: Kubectl, found: ServiceRange) -> ServiceRange:
    """A server that checks dry runs (Kubernetes 1.22 and later) names its range when an address is not in it."""
    told = []
    for address in found.addresses:
        spec = {"clusterIP": OUTSIDE[6 if ":" in address else 4], "ports": [{"port": 443}]}
        metadata = {"name": "eks-proxy-agent-asks", "namespace": "default"}
        try:
            kubectl.try_create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}, _DOING)
        except KubectlError as error:
            told.append(applied_range(error.stderr))
    if told and all(told):
        return ServiceRange(tuple(told), found.addresses, "the API server refuses other addresses (asked by a dry run)")
    return found
