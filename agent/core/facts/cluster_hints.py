"""Cluster information without any AWS call: NodeConfigs, and arguments of bootstrap.sh."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Callable

from agent.core.facts.bootstrap_script import SERVICE_CIDRS, literal_words
from agent.core.facts.node_config_yaml import documents
from agent.core.net.proxy_url import quoted
from agent.core.record import evolve, record
from agent.core.settings import parsers
from agent.errors import AgentError


@record
class ClusterInfo:
    """Cluster name, API server and service CIDRs, as far as they are known.

    `endpoint` is the host of the API server, `dns_address` the address of the cluster's DNS.
    Unknown fields are empty.  `source` says where the service CIDRs come from.  `warnings` name
    proxy variables that a NodeConfig sets itself, and `problems` those that keep the node from
    joining.
    """

    name: str = ""
    endpoint: str = ""
    service_cidrs: tuple[str, ...] = ()
    source: str = ""
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    dns_address: str = ""


#: Address of the metadata service in every VPC ("Use IMDS" in the EC2 user guide).
METADATA_ADDRESS = "169.254.169.254"
#: Warnings of one kind that are given in full.
_TEXTS = 20
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy")
_FLAGS = {
    "--apiserver-endpoint": "endpoint",
    "--service-ipv4-cidr": "service_cidr",
    "--service-ipv6-cidr": "service_cidr",
}


def from_arguments(arguments: Sequence[str]) -> ClusterInfo:
    """Return what arguments of bootstrap.sh say.  Raises AgentError for a wrong value.

    Source of the flags: amazon-eks-ami, /etc/eks/bootstrap.sh --help.
    """
    values: dict[str, list[str]] = {}
    for index, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag in _FLAGS:
            value = value if equals else (arguments[index + 1] if index + 1 < len(arguments) else "")
            if value:  # bootstrap.sh ignores an empty value too
                values.setdefault(_FLAGS[flag], []).append(value)
    name = arguments[0] if arguments and not arguments[0].startswith("-") else ""
    endpoint = (values.get("endpoint") or [""])[-1]
    return _checked("bootstrap arguments", name, endpoint, values.get("service_cidr", ()))


def from_scripts(texts: Iterable[str]) -> ClusterInfo:
    """Return what scripts of user data give bootstrap.sh in literal words; nothing is evaluated."""
    words = literal_words(texts)
    dns = words.get("dns", "")
    cidrs = [words[kind] for kind in ("cidr-v4", "cidr-v6") if kind in words]
    if not cidrs and dns in SERVICE_CIDRS:
        cidrs = [SERVICE_CIDRS[dns]]
    return ClusterInfo(
        endpoint=words.get("endpoint", ""),
        service_cidrs=tuple(sorted(cidrs)),
        source="bootstrap.sh in user data",
        dns_address=dns,
    )


def from_node_configs(
    texts: Iterable[str], names: Sequence[str] = (), own_proxies: Collection[str] = ()
) -> ClusterInfo:
    """Return what NodeConfig documents (API node.eks.aws) say.

    A later one wins, field by field, as in nodeadm.  `names` says in errors where each text comes
    from.  `own_proxies` are those of the settings: a NodeConfig may give
    nodeadm the same ones.  Raises AgentError.
    """
    cluster: dict[str, Any] = {}
    warnings: list[str] = []
    problems: list[str] = []
    labels = [f"NodeConfig ({name})" for name in names]
    for label, document in documents(zip_longest(labels, texts, fillvalue="NodeConfig")):
        if not isinstance(document, dict) or document.get("kind") != "NodeConfig":
            raise AgentError(f"{label}: kind is not NodeConfig")
        version = document.get("apiVersion", "node.eks.aws/")
        if not isinstance(version, str):
            raise AgentError(f"{label}: apiVersion is not a string")
        if not version.startswith("node.eks.aws/"):
            raise AgentError(f"{label}: apiVersion {quoted(version)} is not node.eks.aws/...")
        spec = _table(document, "spec")
        cluster.update((key, value) for key, value in _table(spec, "cluster").items() if value)
        environment = _table(_table(spec, "instance"), "environment")
        warnings += _conflicts(environment, own_proxies)
        problems += _hidden_metadata(label, _table(environment, "default"))
    cidr = cluster.get("cidr")
    cluster_info = _checked(
        "NodeConfig", cluster.get("name", ""), cluster.get("apiServerEndpoint", ""), [cidr] if cidr else ()
    )
    return evolve(cluster_info, warnings=_limited(warnings), problems=_limited(problems))


def _limited(texts: Iterable[str]) -> tuple[str, ...]:
    unique = tuple(dict.fromkeys(texts))
    more = len(unique) - _TEXTS
    return (*unique[:_TEXTS], *([f"NodeConfig: {more} more of this kind"] if more > 0 else []))


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = table.get(key)
    return value if isinstance(value, dict) else {}


def _conflicts(environment: Mapping[str, Any], own_proxies: Collection[str]) -> list[str]:
    """Return a warning for each proxy variable of spec.instance.environment.

    nodeadm takes the key `default` into its own environment (os.Setenv) and into system.conf.d, for
    every unit.  The other keys are units, and become Environment= lines, which the agent's
    EnvironmentFile= overrides.  Source: nodeadm/internal/system/environment.go of amazon-eks-ami.
    """
    return [
        f"NodeConfig sets {quoted(str(name))} for {quoted(str(unit))} in spec.instance.environment; "
        + (
            "it is in force in nodeadm and in every unit without the agent's drop-in"
            if unit == "default"
            else "the agent's value overrides it"
        )
        for unit, variables in environment.items()
        if not (unit == "default" and _has_only(own_proxies, variables))
        for name in (variables if isinstance(variables, dict) else ())
        if str(name).lower() in _PROXY_VARIABLES
    ]


def _has_only(own_proxies: Collection[str], variables: Any) -> bool:
    """Return True if all proxies in these variables, at least one, are of the settings."""
    table = variables if isinstance(variables, dict) else {}
    proxies = [value for name, value in table.items() if str(name).lower() in ("http_proxy", "https_proxy")]
    return bool(proxies) and all(isinstance(value, str) and value.rstrip("/") in own_proxies for value in proxies)


def _hidden_metadata(label: str, default: Mapping[str, Any]) -> list[str]:
    """Return a problem if nodeadm's own NO_PROXY lacks the metadata service.

    nodeadm then requests it through a proxy, which cannot reach it, and the node does not join.
    """
    names = [name for name in default if name in (*_PROXY_VARIABLES, *map(str.upper, _PROXY_VARIABLES))]
    return [
        f"{label}: {name} in spec.instance.environment.default lacks {METADATA_ADDRESS}; "
        f"delete {', '.join(names)} there: the agent sets these variables"
        for name in names
        if name.lower() == "no_proxy" and isinstance(default[name], str) and not _is_bypassed(default[name])
    ]


def _is_bypassed(no_proxy: str) -> bool:
    """Return True if nodeadm, a Go program, reaches METADATA_ADDRESS directly with this list."""
    return any(_covers(entry.strip()) for entry in no_proxy.split(","))


def _covers(entry: str) -> bool:
    if entry in ("*", METADATA_ADDRESS, METADATA_ADDRESS + ":80"):
        return True
    try:
        return "/" in entry and ipaddress.ip_address(METADATA_ADDRESS) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def first_known(*cluster_info: ClusterInfo) -> ClusterInfo:
    """Return, field by field, the first that is known; `source` is that of the service CIDRs."""
    return ClusterInfo(
        name=next((info.name for info in cluster_info if info.name), ""),
        endpoint=next((info.endpoint for info in cluster_info if info.endpoint), ""),
        service_cidrs=next((info.service_cidrs for info in cluster_info if info.service_cidrs), ()),
        source=next((info.source for info in cluster_info if info.service_cidrs), ""),
        warnings=tuple(warning for info in cluster_info for warning in info.warnings),
        problems=tuple(problem for info in cluster_info for problem in info.problems),
        dns_address=next((info.dns_address for info in cluster_info if info.dns_address), ""),
    )


def unknown_service_cidr(cluster_info: ClusterInfo, vpc_cidrs: Iterable[str], guess: str) -> str:
    """Return a warning if the service CIDR is a `guess` against which something speaks, else "".

    For a node whose cluster.service_cidr is "auto".
    """
    if cluster_info.service_cidrs:
        return ""
    remedy = f"NO_PROXY has the default {guess}; if that is wrong, set cluster.service_cidr"
    if cluster_info.dns_address:
        return f"the service CIDR is unknown, and {cluster_info.dns_address} is the cluster's DNS; {remedy}"
    if any(":" in cidr for cidr in vpc_cidrs):
        return f"the service CIDR is unknown, and the VPC has IPv6; {remedy}"
    return ""


def _checked(source: str, name: Any, endpoint: Any, cidrs: Iterable[Any]) -> ClusterInfo:
    """Return ClusterInfo of values that passed the readers of settings.  Raises AgentError."""

    def read(label: str, parse: Callable[[Any], str], value: Any) -> str:
        try:
            return parse(value)
        except ValueError as error:
            hint = "correct it there: NO_PROXY takes the API server and the service CIDR from it"
            raise AgentError(f"{source}: {label}: {error}", hint=hint) from None

    return ClusterInfo(
        read("cluster name", parsers.cluster_name, name),
        read("endpoint", parsers.endpoint_host, endpoint),
        tuple(sorted(read("service CIDR", parsers.cidr, cidr) for cidr in cidrs)),
        source,
    )
