"""Helm values that give the variables to charts which accept env or envFrom.

Each chart has keys of its own.  Sources: values.yaml of the charts aws-ebs-csi-driver 2.x,
karpenter 1.x, aws-load-balancer-controller 1.x, cluster-autoscaler 9.x and external-dns 1.x.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from agent.core.cluster.objects import CHECKSUM, CONFIG_MAP, KEY_REFERENCE, NAME, REFERENCE, VARIABLES, Source
from agent.core.record import record

Values = dict[str, Any]


@record
class Chart:
    """Chart, and the values that its pods get the variables from.

    `values` is None for a chart that takes only values in plain text, if these are secret.  `note`
    is what the operator has to know.
    """

    name: str
    values: Mapping[str, Any] | None
    note: str = ""


def charts_of(source: Source) -> tuple[Chart, ...]:
    """Return the values of every chart for the ConfigMap or Secret of a namespace."""
    return tuple(Chart(name, make(source), note) for name, (make, note) in _CHARTS.items())


def _env_from(source: Source) -> list[Any]:
    return [{REFERENCE[source.kind]: {"name": NAME}}]


def _env(source: Source) -> list[Any]:
    reference = KEY_REFERENCE[source.kind]
    return [{"name": name, "valueFrom": {reference: {"name": NAME, "key": name}}} for name in VARIABLES]


def _annotations(source: Source) -> Values:
    """Return the pod annotation with which changed values start a rollout."""
    return {CHECKSUM: source.checksum}


def _ebs_csi(source: Source) -> Values:
    return {"controller": {"envFrom": _env_from(source), "podAnnotations": _annotations(source)}}


def _karpenter(source: Source) -> Values:
    return {"controller": {"envFrom": _env_from(source)}, "podAnnotations": _annotations(source)}


def _load_balancer(source: Source) -> Values | None:
    if source.kind != CONFIG_MAP:
        return None
    return {"env": dict(sorted(source.data.items())), "podAnnotations": _annotations(source)}


def _autoscaler(source: Source) -> Values:
    key = "envFromConfigMap" if source.kind == CONFIG_MAP else "envFromSecret"
    return {key: NAME, "podAnnotations": _annotations(source)}


def _external_dns(source: Source) -> Values:
    return {"env": _env(source), "podAnnotations": _annotations(source)}


_LISTS = "Helm replaces lists: if your values have {} of their own, merge them"
_CHARTS: Mapping[str, tuple[Callable[[Source], Values | None], str]] = {
    "aws-ebs-csi-driver": (_ebs_csi, _LISTS.format("controller.envFrom")),
    "karpenter": (_karpenter, _LISTS.format("controller.envFrom")),
    "aws-load-balancer-controller": (_load_balancer, "the chart takes values only, so render again after a change"),
    "cluster-autoscaler": (_autoscaler, "the chart has one such key: yours, if any, is replaced"),
    "external-dns": (_external_dns, _LISTS.format("env")),
}
