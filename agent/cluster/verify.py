"""`cluster verify`: compare the ConfigMap, pod templates and every pod with the nodes."""

from __future__ import annotations

import argparse
import collections
import json
import sys
from collections.abc import Mapping
from typing import Any

from agent.cluster.inputs import ClusterInputs
from agent.cluster.plan_view import print_warnings
from agent.cluster.pods import list_pods
from agent.core.cluster.managed_fields import data_changed
from agent.core.cluster.objects import CONFIG_MAP, SECRET, read_source, source_path
from agent.core.cluster.patch import env_overrides, template_spec
from agent.core.cluster.pod_state import (
    ENDING,
    OK,
    STALE,
    WRONG,
    Expected,
    PodVerdict,
    absence_problems,
    foreign_managers,
    judge_pod,
    source_problems,
    template_problems,
)
from agent.core.record import record
from agent.core.redact import redact
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl, KubectlError

DRIFT = 3
#: How often a list is read from its beginning, if its continue token expires.
ATTEMPTS = 3
#: Names that are printed for one problem; --json prints all.
_NAMES = 5
_NOT_FOUND = "not found"


class PodSummary:
    """Pods of one workload; `problems` maps a problem to the pods that have it."""

    def __init__(self) -> None:
        self.counts = {OK: 0, STALE: 0, WRONG: 0, ENDING: 0}
        self.problems: dict[str, list[str]] = collections.defaultdict(list)

    @property
    def count(self) -> int:
        """Number of pods without those that terminate or have terminated."""
        return self.counts[OK] + self.counts[STALE] + self.counts[WRONG]

    def add(self, pod: PodVerdict) -> None:
        self.counts[pod.state] += 1
        for problem in pod.problems:
            self.problems[problem].append(pod.name + (" on " + pod.node if pod.node else ""))


@record
class ObjectVerdict:
    """Problems of one object; a workload also has a summary of its pods."""

    name: str
    problems: tuple[str, ...]
    summary: PodSummary | None = None

    @property
    def is_ok(self) -> bool:
        return not self.problems and (self.summary is None or not self.summary.problems)


def verify(kubectl: Kubectl, inputs: ClusterInputs) -> list[ObjectVerdict]:
    """Check every object, with one page of pods in memory at a time."""
    verdicts = []
    expected: dict[str, Expected] = {}
    desired = dict(inputs.intent.variables(secret=True))
    kind = SECRET if inputs.intent.credentials else CONFIG_MAP
    for namespace in inputs.namespaces:
        obj = kubectl.find(source_path(kind, namespace), kind) or {"kind": kind, "metadata": {"namespace": namespace}}
        source = read_source(obj)
        is_absent = "uid" not in obj["metadata"]
        problems = [_NOT_FOUND] if is_absent else source_problems(source, desired, inputs.direct)
        created = str(obj["metadata"].get("creationTimestamp") or "")
        changed, edited = data_changed(obj, by_us=True), data_changed(obj, by_us=False)
        expected[namespace] = Expected(source, changed, edited, created)
        verdicts.append(ObjectVerdict(str(source), tuple(problems)))
    return verdicts + [
        _check_workload(kubectl, workload, expected[workload.namespace]) for workload in inputs.workloads
    ]


def _check_workload(kubectl: Kubectl, workload: Workload, expected: Expected) -> ObjectVerdict:
    obj = kubectl.find(workload.path, workload.kind, f"reading {workload}")
    if obj is None:
        return ObjectVerdict(str(workload), (_NOT_FOUND,), PodSummary())
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
    for attempt in range(1, ATTEMPTS + 1):
        summary = PodSummary()
        try:
            for pod in list_pods(kubectl, workload, obj):
                summary.add(judge_pod(pod, expected))
            return summary
        except KubectlError as error:
            if error.reason != "Expired" or attempt == ATTEMPTS:
                raise
            print(f"note: {workload}: the list of pods expired; reading it again", file=sys.stderr)
    raise AssertionError("unreachable")


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
        for problem, names in sorted((verdict.summary.problems if verdict.summary else {}).items()):
            shown, more = ", ".join(names[:_NAMES]), len(names) - _NAMES
            rest = f" and {more} more (--json lists all)" if more > 0 else ""
            count = f"{len(names)} pods" if len(names) > 1 else "1 pod"
            print(f"{verdict.name}: {count}: {redact(problem)}: {shown}{rest}")
    print_warnings(inputs.warnings)
    if any(verdict.summary and not verdict.problems and verdict.summary.problems for verdict in verdicts):
        text = "to replace the pods: kubectl rollout restart; with update strategy OnDelete, delete them"
        print(text, file=sys.stderr)
    return 0 if is_ok else DRIFT


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
    return table
