"""Units of EKS nodes that the agent covers, and what the drop-in of each gives its processes."""

from __future__ import annotations

from collections.abc import Iterable

#: Services of a node that open connections to the outside (Amazon Linux 2023, and images with
#: bootstrap.sh).  One line a unit, with the reason.  A test compares the list with Before= of the
#: agent's unit and with config.toml.
DEFAULT_UNITS = (
    "docker.service",  # pulls images
    "containerd.service",  # pulls images
    "kubelet.service",  # runs credential helpers that call ECR
    "sandbox-image.service",  # logs in to ECR and pulls the pause image
    "nodeadm-config.service",  # calls the EC2 API
    "nodeadm-run.service",  # pulls images and starts kubelet
    "cloud-config.service",  # may install packages
    "cloud-final.service",  # runs the shell scripts of user data
    "amazon-ssm-agent.service",  # registers the node with SSM
)

_NODEADM, _CLOUD_INIT = "nodeadm-", "cloud-init"
#: The proxy for plain http, as the environment names it.
HTTP_NAMES = ("http_proxy", "HTTP_PROXY")


def reads_etc_environment(unit: str) -> bool:
    """Return True if the drop-in of a unit reads /etc/environment before node.env.

    nodeadm and cloud-init query the metadata service.  A proxy that someone else wrote to
    /etc/environment, without NO_PROXY, would carry these requests on a boot that has no node.env.
    """
    return not unit.startswith((_NODEADM, _CLOUD_INIT))


def unset_names(unit: str) -> tuple[str, ...]:
    """Return the variables that the drop-in of a unit removes (UnsetEnvironment=).

    nodeadm speaks plain http to the metadata service only.  It takes over the variables of
    spec.instance.environment.default, and a NO_PROXY there replaces the agent's.  With http_proxy
    set, nodeadm would then query the metadata service through the proxy.
    """
    return HTTP_NAMES if unit.startswith(_NODEADM) else ()


def variables_of(unit: str, variables: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the proxy variables of a unit with the agent's drop-in; "" for one that is removed."""
    unset = unset_names(unit)
    return tuple((name, "" if name in unset else value) for name, value in variables)
