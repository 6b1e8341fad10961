"""What the node already knows of its cluster without any AWS call: NodeConfig and bootstrap.sh's arguments."""

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
    """`endpoint` is the API server's host; empty when unknown.  `source` says where the hints come from.

    `warnings` tells of proxy variables that a NodeConfig sets itself.
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
    """The hints in arguments of bootstrap.sh (its flags: amazon-eks-ami, /etc/eks/bootstrap.sh --help)."""
    found: dict[str, list[str]] = {}
    for at, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag in _FLAGS:
            value = value if equals else (arguments[at + 1] if at + 1 < len(arguments) else "")
            if value:  # bootstrap.sh takes an empty value for none too
                found.setdefault(_FLAGS[flag], []).append(value)
    name = arguments[0] if arguments and not arguments[0].startswith("-") else ""
    return _hints("bootstrap arguments", name, (found.get("endpoint") or [""])[-1], found.get("service_cidr", ()))


def from_node_configs(texts: Iterable[str], names: Sequence[str] = ()) -> ClusterInfo:
    """The hints in NodeConfig documents (API node.eks.aws), a later one wins, field by field, as nodeadm merges them.

    `names` says for people where each text comes from.
    """
    cluster: dict[str, Any] = {}
    warnings: list[str] = []
    labels = [f"NodeConfig ({name})" for name in names]
    for label, document in _yaml_documents(zip_longest(labels, texts, fillvalue="NodeConfig")):
        if not isinstance(document, dict) or document.get("kind") != "NodeConfig":
            raise AgentError(f"{label}: has no kind: NodeConfig")
        version = document.get("apiVersion", "node.eks.aws/")
        if not isinstance(version, str):  # and aliases of aliases of a list are never unfolded
            raise AgentError(f"{label}: the apiVersion is not a string")
        if not version.startswith("node.eks.aws/"):
            raise AgentError(f"{label}: the apiVersion {quoted(version)} is none of node.eks.aws/...")
        spec = _table(document, "spec")
        cluster.update((key, value) for key, value in _table(spec, "cluster").items() if value)
        warnings += _conflicts(_table(_table(spec, "instance"), "environment"))
    cidr = cluster.get("cidr")
    cluster_info = _hints(
        "NodeConfig", cluster.get("name", ""), cluster.get("apiServerEndpoint", ""), [cidr] if cidr else ()
    )
    return attrs.evolve(cluster_info, warnings=tuple(dict.fromkeys(warnings)))


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = table.get(key)
    return found if isinstance(found, dict) else {}


def _conflicts(environment: Mapping[str, Any]) -> list[str]:
    """nodeadm writes spec.instance.environment as Environment= lines, which our EnvironmentFile= overrides."""
    return [
        f"NodeConfig sets {quoted(str(name))} for {quoted(str(unit))} in spec.instance.environment; the agent's value is in force there, not that one"
        for unit, variables in environment.items()
        for name in (variables if isinstance(variables, dict) else ())
        if str(name).lower() in ("http_proxy", "https_proxy", "no_proxy")
    ]


def _yaml_documents(texts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Any]]:
    """Every document of every text with the text's label; raises AgentError with line and column."""
    import yaml  # only nodes with a NodeConfig pay for it

    class Loader(yaml.SafeLoader):
        """YAML as nodeadm's reader has it (gopkg.in/yaml.v2), for which a date is text, and `=` no more than that."""

    for kind in ("timestamp", "value"):
        Loader.add_constructor("tag:yaml.org,2002:" + kind, lambda loader, node: node.value)
    for label, text in texts:
        try:
            yield from ((label, document) for document in yaml.load_all(text, Loader) if document is not None)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
            what = getattr(error, "problem", "") or "cannot be read"
            raise AgentError(f"{label}: {where}is not YAML: {what}") from None
        except RecursionError:
            raise AgentError(f"{label}: is nested too deeply") from None
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # PyYAML's constructors let through what they stumble over: !!int abc
            raise AgentError(f"{label}: is not YAML: {quoted(str(error))}") from None


def first_known(*cluster_info: ClusterInfo) -> ClusterInfo:
    """Field by field the first that is known; `source` is that of the service CIDRs."""
    return ClusterInfo(
        name=next((hint.name for hint in cluster_info if hint.name), ""),
        endpoint=next((hint.endpoint for hint in cluster_info if hint.endpoint), ""),
        service_cidrs=next((hint.service_cidrs for hint in cluster_info if hint.service_cidrs), ()),
        source=next((hint.source for hint in cluster_info if hint.service_cidrs), ""),
        warnings=tuple(warning for hint in cluster_info for warning in hint.warnings),
    )


def _hints(source: str, name: Any, endpoint: Any, cidrs: Iterable[Any]) -> ClusterInfo:
    def checked(thing: str, parse: Callable[[Any], str], value: Any) -> str:
        try:
            return parse(value)
        except ValueError as error:
            hint = "mend it there: the API server and the service CIDR in NO_PROXY come from it"
            raise AgentError(f"{source}: {thing}: {error}", hint=hint) from None

    return ClusterInfo(
        checked("cluster name", parsers.cluster_name, name),
        checked("endpoint", parsers.endpoint_host, endpoint),
        tuple(sorted(checked("service CIDR", parsers.cidr, cidr) for cidr in cidrs)),
        source,
    )
