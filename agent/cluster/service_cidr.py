"""`cluster service-cidr`: query the cluster, beginning with the most reliable source."""

from __future__ import annotations

import argparse
import json
import sys

from agent.core.cluster.kubectl_errors import applied_range
from agent.core.cluster.service_cidr import OUTSIDE, ServiceRange, addresses_of, from_service_cidrs, infer_range
from agent.edges.kubectl import Kubectl, KubectlError
from agent.errors import AgentError

_SERVICE = "/api/v1/namespaces/default/services/kubernetes"
_APIS = ("v1", "v1beta1")
_DOING = "querying the service CIDR"
LOOKUP = "aws eks describe-cluster --name NAME --query cluster.kubernetesNetworkConfig"


def print_service_range(arguments: argparse.Namespace, kubectl: Kubectl) -> int:
    """Print the CIDRs on stdout and their source on stderr.

    Raises AgentError if only addresses are known.
    """
    service_range = query_service_range(kubectl)
    if arguments.json:
        table = {"cidrs": service_range.cidrs, "addresses": service_range.addresses, "how": service_range.how}
        print(json.dumps({"schema": 1, **table}, indent=2))
    else:
        for cidr in service_range.cidrs:
            print(cidr)
        if service_range.cidrs:
            print(f"source: {service_range.how}", file=sys.stderr)
    if not service_range.cidrs:
        raise AgentError(f"the service CIDR is unknown: {service_range.how}", hint=f"to look it up: {LOOKUP}")
    return 0


def query_service_range(kubectl: Kubectl) -> ServiceRange:
    """Return the range from the ServiceCIDR API, else EKS's default, else from a rejected dry run.

    Raises AgentError if the cluster cannot be queried at all.
    """
    service = kubectl.get(_SERVICE, "Service", _DOING)
    try:
        addresses = addresses_of(service)
    except ValueError as error:
        raise AgentError(f"{_DOING}: Service default/kubernetes: {error}") from None
    listed = _service_cidr_api(kubectl, addresses)
    if listed is not None:
        return listed
    inferred = infer_range(addresses)
    return inferred if inferred.cidrs else _rejected_dry_run(kubectl, inferred)


def _service_cidr_api(kubectl: Kubectl, addresses: tuple[str, ...]) -> ServiceRange | None:
    for version in _APIS:
        try:
            listing = kubectl.find(f"/apis/networking.k8s.io/{version}/servicecidrs", "ServiceCIDRList", _DOING)
            cidrs = from_service_cidrs(listing) if listing else ()
        except KubectlError as error:
            if error.reason != "Forbidden":  # without this permission, the other sources remain
                raise
            return None
        except ValueError as error:
            raise AgentError(f"{_DOING}: ServiceCIDR: {error}") from None
        if cidrs:
            return ServiceRange(cidrs, addresses, f"the ServiceCIDR API (networking.k8s.io/{version}) lists it")
    return None


def _rejected_dry_run(kubectl: Kubectl, inferred: ServiceRange) -> ServiceRange:
    """Return the range that the server names when it rejects an address outside it.

    This takes a server that checks dry runs (Kubernetes 1.22 and later); else return `inferred`.
    """
    cidrs = []
    for address in inferred.addresses:
        spec = {"clusterIP": OUTSIDE[6 if ":" in address else 4], "ports": [{"port": 443}]}
        metadata = {"name": "eks-proxy-agent-asks", "namespace": "default"}
        try:
            kubectl.try_create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}, _DOING)
        except KubectlError as error:
            cidrs.append(applied_range(error.stderr))
    if cidrs and all(cidrs):
        how = "the API server named it when it rejected an address in a dry run"
        return ServiceRange(tuple(cidrs), inferred.addresses, how)
    return inferred
