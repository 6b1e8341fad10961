"""Units of EKS nodes that the agent covers, and what the drop-in of each gives its processes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from agent.core.net.proxy_url import quoted
from agent.core.record import record
from agent.core.settings.parsers import typed


@record
class NodeUnit:
    """A unit that gets a drop-in by default.

    `reason`: its need of the proxy.  `is_ordered`: it waits for the agent at boot, because Before=
    of the agent's unit names it.  `caveat`: what the drop-in cannot do for it.
    """

    name: str
    reason: str
    is_ordered: bool = True
    caveat: str = ""


#: The services of an EKS node that open connections to the outside (Amazon Linux 2023, and images
#: with bootstrap.sh).  A test compares the table with the agent's unit and with config.toml.
UNITS = (
    NodeUnit("docker.service", "pulls images"),
    NodeUnit("containerd.service", "pulls images"),
    NodeUnit("kubelet.service", "runs credential helpers that call ECR"),
    NodeUnit("sandbox-image.service", "logs in to ECR and pulls the pause image"),
    NodeUnit("soci-snapshotter.service", "downloads layers of images (NodeConfig featureGates.FastImagePull)"),
    NodeUnit("nodeadm-config.service", "calls the EC2 API"),
    NodeUnit("nodeadm-run.service", "pulls images and starts kubelet"),
    NodeUnit("cloud-init.service", "runs boothooks and downloads #include, before cloud-init 24.3"),
    NodeUnit("cloud-init-network.service", "is that stage from cloud-init 24.3 on"),
    NodeUnit(
        "cloud-init-main.service",
        "runs all stages of cloud-init from 24.3 on",
        # It precedes network-pre.target: the network would wait for the agent, and that for it.
        is_ordered=False,
        caveat=(
            "it starts before the agent, so boothooks of the first boot have no proxy; "
            "let a boothook that needs it run: set -a; . /etc/environment"
        ),
    ),
    NodeUnit("cloud-config.service", "may install packages"),
    NodeUnit("cloud-final.service", "runs the shell scripts of user data"),
    NodeUnit("amazon-ssm-agent.service", "registers the node with SSM"),
    NodeUnit("amazon-cloudwatch-agent.service", "sends metrics and logs to CloudWatch"),
    NodeUnit("cfn-hup.service", "polls CloudFormation for changes"),
)
DEFAULT_UNITS = tuple(unit.name for unit in UNITS)
#: The default units that start before the agent, by name.
UNORDERED = {unit.name: unit for unit in UNITS if not unit.is_ordered}

_NODEADM, _CLOUD_INIT = "nodeadm-", "cloud-init"
#: Jobs that run once at boot: a restart would end the one under way, user data included, or repeat
#: it.
_BOOT_JOBS = (_NODEADM, _CLOUD_INIT, "cloud-config.service", "cloud-final.service")
#: The proxy for plain http, as the environment names it.
HTTP_NAMES = ("http_proxy", "HTTP_PROXY")


def reads_etc_environment(unit: str) -> bool:
    """Return True if the drop-in of a unit reads /etc/environment before node.env.

    nodeadm and cloud-init query the metadata service.  A proxy that someone else wrote to
    /etc/environment, without NO_PROXY, would carry these requests on a boot that has no node.env.
    """
    return not unit.startswith((_NODEADM, _CLOUD_INIT))


def is_boot_job(unit: str) -> bool:
    """Return True for a unit of cloud-init or nodeadm, which is never restarted."""
    return unit.startswith(_BOOT_JOBS)


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


def service_unit(value: Any) -> str:
    """Read a unit as systemctl accepts it, `docker` or `docker.service`.

    The result always ends in `.service`.  Names become directories below /etc/systemd/system: only
    the characters of systemd.unit(5), no slash, no leading dot.
    """
    text = str(typed(value, str))
    name = (
        text
        if re.search(r"\.(service|socket|target|timer|mount|path|slice|scope|device|swap|automount)$", text)
        else text + ".service"
    )
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9:_.@-]{0,200}", text):
        raise ValueError(f"{quoted(text)} is not a unit name")
    if not name.endswith(".service") or name == ".service":
        raise ValueError(f"{quoted(text)} is not a service")  # no other unit reads an environment
    if re.fullmatch(r"[^@]+@\.service", name):
        raise ValueError(f"{quoted(text)} is a template, for which systemd reports no state; name its instances")
    return name
