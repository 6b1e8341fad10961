"""`cluster verify`: compare the ConfigMap, pod templates and every pod with the nodes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.cluster.inputs import ClusterInputs
from agent.cluster.plan_view import print_warnings
from agent.cluster.pods import list_pods
from agent.cluster.policy import find_mode
from agent.cluster.verdicts import NOT_FOUND, ObjectVerdict, PodSummary, check_source, summarize
from agent.cluster.verify_policy import verify_policy
from agent.core.cluster.objects import CONFIG_MAP, SECRET
from agent.core.cluster.patch import env_overrides, template_spec
from agent.core.cluster.pod_state import (
    OK,
    STALE,
    WRONG,
    Expected,
    PodVerdict,
    absence_problems,
    foreign_managers,
    judge_pod,
    template_problems,
)
from agent.core.redact import redact
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl

DRIFT = 3
#: Names that are printed for one problem; --json prints all.
_NAMES = 5


def verify(kubectl: Kubectl, inputs: ClusterInputs) -> list[ObjectVerdict]:
    """Check every object, with one page of pods in memory at a time."""
    mode = find_mode(kubectl, inputs)
    if mode.is_policy:
        return verify_policy(kubectl, inputs)
    expected: dict[str, Expected] = {}
    verdicts = []
    kind = SECRET if inputs.intent.credentials else CONFIG_MAP
    for namespace in inputs.namespaces:
        verdict, expected[namespace] = check_source(kubectl, inputs, kind, namespace)
        verdicts.append(verdict)
    return verdicts + [
        _check_workload(kubectl, workload, expected[workload.namespace]) for workload in inputs.workloads
    ]


def _check_workload(kubectl: Kubectl, workload: Workload, expected: Expected) -> ObjectVerdict:
    obj = kubectl.find(workload.path, workload.kind, f"reading {workload}")
    if obj is None:
        return ObjectVerdict(str(workload), (NOT_FOUND,), PodSummary())
    problems = template_problems(obj, expected)
    if problems:
        has_env = bool(env_overrides(template_spec(obj), expected.source.kind))
        problems.append(_remedy(foreign_managers(obj), take_over=has_env))
    summary = _check_pods(kubectl, workload, obj, expected)
    problems += absence_problems(obj, workload, summary.count)
    return ObjectVerdict(str(workload), tuple(problems), summary)


_MANAGED = (
    'field manager "eks" is the managed add-on, which rewrites its pod template at each update. Run eks-proxy-agent'
    " cluster apply after each update (aws eks update-addon --resolve-conflicts PRESERVE keeps envFrom). Do not set a"
    " proxy in the add-on's configuration values"
)


def _remedy(managers: tuple[str, ...], *, take_over: bool) -> str:
    command, flag = "eks-proxy-agent cluster", " --take-over" if take_over else ""
    repair = f"to repair it: {command} apply{flag}; to preview the changes: {command} plan{flag}"
    return _MANAGED if "eks" in managers else repair


def _check_pods(kubectl: Kubectl, workload: Workload, obj: Mapping[str, Any], expected: Expected) -> PodSummary:
    def judged() -> Iterator[tuple[PodVerdict, Sequence[str]]]:
        return ((judge_pod(pod, expected), ()) for pod in list_pods(kubectl, workload, obj))

    return summarize(str(workload), judged)


def print_verdict(arguments: argparse.Namespace, verdicts: list[ObjectVerdict], inputs: ClusterInputs) -> int:
    """Print the verdicts, and return exit code 3 if anything is wrong."""
    is_ok = all(verdict.is_ok for verdict in verdicts)
    if arguments.json:
        print(json.dumps(_as_json(verdicts, inputs, is_ok), indent=2))
        return 0 if is_ok else DRIFT
    width = max(len(verdict.name) for verdict in verdicts)
    print(f"{'OBJECT':<{width}}  {'STATE':<9} {'PODS':>6} {'OK':>6} {'STALE':>6} {'WRONG':>6}")
    for verdict in verdicts:
        print(_row(verdict, width))
    for verdict in verdicts:
        for problem in verdict.problems:
            print(f"{verdict.name}: {redact(problem)}")
        if verdict.summary:
            _print_pods(verdict.name, {**verdict.summary.problems, **verdict.summary.notes})
    print_warnings(inputs.warnings)
    if any(verdict.summary and not verdict.problems and verdict.summary.problems for verdict in verdicts):
        text = "to replace the pods: kubectl rollout restart; with update strategy OnDelete, delete them"
        print(text, file=sys.stderr)
    return 0 if is_ok else DRIFT


def _print_pods(name: str, groups: Mapping[str, list[str]]) -> None:
    for text, pods in sorted(groups.items()):
        shown, more = ", ".join(pods[:_NAMES]), len(pods) - _NAMES
        rest = f" and {more} more (--json lists all)" if more > 0 else ""
        count = f"{len(pods)} pods" if len(pods) > 1 else "1 pod"
        print(f"{name}: {count}: {redact(text)}: {shown}{rest}")


def _row(verdict: ObjectVerdict, width: int) -> str:
    state = "wrong" if verdict.problems else "ok"
    if verdict.summary is None:
        return f"{verdict.name.ljust(width)}  {state}"
    counts = verdict.summary.counts
    numbers = (verdict.summary.count, counts[OK], counts[STALE], counts[WRONG])
    return " ".join([f"{verdict.name:<{width}}  {state:<9}", *(f"{number:>6}" for number in numbers)])


def _as_json(verdicts: list[ObjectVerdict], inputs: ClusterInputs, is_ok: bool) -> dict[str, Any]:
    return {
        "schema": 1,
        "ok": is_ok,
        "objects": [_object_as_json(verdict) for verdict in verdicts],
        "warnings": [redact(warning) for warning in inputs.warnings],
    }


def _object_as_json(verdict: ObjectVerdict) -> dict[str, Any]:
    table: dict[str, Any] = {"object": verdict.name, "problems": [redact(problem) for problem in verdict.problems]}
    if verdict.summary:
        table["pods"] = verdict.summary.counts
        table["pod_problems"] = {redact(problem): names for problem, names in verdict.summary.problems.items()}
        table["pod_notes"] = dict(verdict.summary.notes)
    return table
