"""Cluster information without any AWS call: NodeConfig and the arguments of bootstrap.sh."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Callable

import attrs

from agent.core.net.proxy_url import quoted
from agent.core.settings import parsers
from agent.errors import AgentError


@attrs.frozen
class ClusterInfo:
    """Cluster name, API server and service CIDRs, as far as they are known.

    `endpoint` is the host of the API server.  Unknown fields are empty.  `source` says where the
    service CIDRs come from.  `warnings` names proxy variables that a NodeConfig sets itself.
    """

    name: str = ""
    endpoint: str = ""
    service_cidrs: tuple[str, ...] = ()
    source: str = ""
    warnings: tuple[str, ...] = ()


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


def from_node_configs(texts: Iterable[str], names: Sequence[str] = ()) -> ClusterInfo:
    """Return what NodeConfig documents (API node.eks.aws) say.

    A later one wins, field by field, as in nodeadm.  `names` says in errors where each text comes
    from.  Raises AgentError.
    """
    cluster: dict[str, Any] = {}
    warnings: list[str] = []
    labels = [f"NodeConfig ({name})" for name in names]
    for label, document in _yaml_documents(zip_longest(labels, texts, fillvalue="NodeConfig")):
        if not isinstance(document, dict) or document.get("kind") != "NodeConfig":
            raise AgentError(f"{label}: kind is not NodeConfig")
        version = document.get("apiVersion", "node.eks.aws/")
        if not isinstance(version, str):  # aliases of aliases of a list must not be unfolded into an error
            raise AgentError(f"{label}: apiVersion is not a string")
        if not version.startswith("node.eks.aws/"):
            raise AgentError(f"{label}: apiVersion {quoted(version)} is not node.eks.aws/...")
        spec = _table(document, "spec")
        cluster.update((key, value) for key, value in _table(spec, "cluster").items() if value)
        warnings += _conflicts(_table(_table(spec, "instance"), "environment"))
    cidr = cluster.get("cidr")
    cluster_info = _checked(
        "NodeConfig", cluster.get("name", ""), cluster.get("apiServerEndpoint", ""), [cidr] if cidr else ()
    )
    return attrs.evolve(cluster_info, warnings=tuple(dict.fromkeys(warnings)))


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = table.get(key)
    return value if isinstance(value, dict) else {}


def _conflicts(environment: Mapping[str, Any]) -> list[str]:
    """Return a warning for each proxy variable of spec.instance.environment.

    nodeadm writes these as Environment= lines, which the agent's EnvironmentFile= overrides.
    """
    return [
        f"NodeConfig sets {quoted(str(name))} for {quoted(str(unit))} in spec.instance.environment; it is overridden by the agent's value"
        for unit, variables in environment.items()
        for name in (variables if isinstance(variables, dict) else ())
        if str(name).lower() in ("http_proxy", "https_proxy", "no_proxy")
    ]


def _yaml_documents(texts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Any]]:
    """Yield each document with the label of its text; raises AgentError with line and column."""
    import yaml  # only nodes with a NodeConfig pay for it

    class Loader(yaml.SafeLoader):
        """YAML of nodeadm's reader (gopkg.in/yaml.v2): a date is text, and so is a lone `=`."""

    for kind in ("timestamp", "value"):
        Loader.add_constructor("tag:yaml.org,2002:" + kind, lambda loader, node: node.value)
    for label, text in texts:
        try:
            yield from ((label, document) for document in yaml.load_all(text, Loader) if document is not None)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
            problem = getattr(error, "problem", "") or "cannot be read"
            raise AgentError(f"{label}: {where}invalid YAML: {problem}") from None
        except RecursionError:
            raise AgentError(f"{label}: nested too deeply") from None
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # PyYAML's constructors let through what they stumble over: !!int abc
            raise AgentError(f"{label}: invalid YAML: {quoted(str(error))}") from None


def first_known(*cluster_info: ClusterInfo) -> ClusterInfo:
    """Return, field by field, the first that is known; `source` is that of the service CIDRs."""
    return ClusterInfo(
        name=next((info.name for info in cluster_info if info.name), ""),
        endpoint=next((info.endpoint for info in cluster_info if info.endpoint), ""),
        service_cidrs=next((info.service_cidrs for info in cluster_info if info.service_cidrs), ()),
        source=next((info.source for info in cluster_info if info.service_cidrs), ""),
        warnings=tuple(warning for info in cluster_info for warning in info.warnings),
    )


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
