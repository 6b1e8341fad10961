"""`cluster verify`: ConfigMap, pod templates and every pod against what the nodes have; page by page."""

from __future__ import annotations

import argparse
import collections
import json
import sys
from collections.abc import Mapping
from typing import Any

import attrs

from agent.cluster.inputs import ClusterInputs
from agent.cluster.plan_view import tell
from agent.cluster.pods import pods
from agent.core.cluster.managed_fields import data_changed
from agent.core.cluster.objects import CONFIG_MAP, SECRET, read_source, source_path
from agent.core.cluster.patch import beaten, template_spec
from agent.core.cluster.pod_state import (
    ENDING,
    OK,
    STALE,
    WRONG,
    Expected,
    Pod,
    absence,
    foreign_managers,
    judge_pod,
    source_problems,
    template_problems,
)
from agent.core.redact import redact
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl, KubectlError

DRIFT = 3
#: How often a list is begun anew whose continue token was too old.
BEGINNINGS = 3
#: Names that are printed for one problem; --json has them all.
_NAMES = 5


@attrs.define
class Tally:
    """What was seen of one workload's pods; `problems` is problem → the pods that have it."""

    counts: dict[str, int] = attrs.field(factory=lambda: {OK: 0, STALE: 0, WRONG: 0, ENDING: 0})
    problems: dict[str, list[str]] = attrs.field(factory=lambda: collections.defaultdict(list))

    @property
    def pods(self) -> int:
        """Those that count."""
        return self.counts[OK] + self.counts[STALE] + self.counts[WRONG]

    def add(self, pod: Pod) -> None:
        self.counts[pod.state] += 1
        for problem in pod.problems:
            self.problems[problem].append(pod.name + (" on " + pod.node if pod.node else ""))


@attrs.frozen
class Checked:
    """One object and its problems; a workload has a tally of its pods as well."""

    name: str
    problems: tuple[str, ...]
    tally: Tally | None = None

    @property
    def good(self) -> bool:
        return not self.problems and (self.tally is None or not self.tally.problems)


def verify(kubectl: Kubectl, inputs: ClusterInputs) -> list[Checked]:
    """Everything looked at, one page of pods in memory at a time."""
    checked = []
    expected: dict[str, Expected] = {}
    wanted = dict(inputs.intent.variables(secret=True))
    kind = SECRET if inputs.intent.credentials else CONFIG_MAP
    for namespace in inputs.namespaces:
        found = kubectl.find(source_path(kind, namespace)) or {
            "kind": kind,
            "metadata": {"namespace": namespace},
        }
        source = read_source(found)
        absent = "uid" not in found["metadata"]
        problems = ["does not exist"] if absent else source_problems(source, wanted, inputs.direct)
        created = str(found["metadata"].get("creationTimestamp", ""))
        changed, edited = data_changed(found, by_us=True), data_changed(found, by_us=False)
        expected[namespace] = Expected(source, changed, edited, created)
        checked.append(Checked(str(source), tuple(problems)))
    return checked + [_check_workload(kubectl, one, expected[one.namespace]) for one in inputs.workloads]


def _check_workload(kubectl: Kubectl, workload: Workload, expected: Expected) -> Checked:
    found = kubectl.find(workload.path, f"reading {workload}")
    if found is None:
        return Checked(str(workload), ("does not exist",), Tally())
    problems = template_problems(found, expected)
    if problems:
        env = bool(beaten(template_spec(found), expected.source.kind))
        problems.append(_way_back(foreign_managers(found), env=env))
    tally = _count(kubectl, workload, found, expected)
    problems += absence(found, workload, tally.pods)
    return Checked(str(workload), tuple(problems), tally)


_MANAGED = (
    'field manager "eks" is the managed add-on, which writes its pod template anew when it is updated: run'
    " eks-proxy-agent cluster apply after each update (aws eks update-addon --resolve-conflicts PRESERVE leaves"
    " envFrom), and set no proxy in the add-on's own configuration values"
)


def _way_back(managers: tuple[str, ...], *, env: bool) -> str:
    flag = " --take-over" if env else ""
    by_hand = f"cluster plan{flag} shows what puts it right, and cluster apply{flag} does it"
    return _MANAGED if "eks" in managers else by_hand


def _count(kubectl: Kubectl, workload: Workload, found: Mapping[str, Any], expected: Expected) -> Tally:
    for beginning in range(1, BEGINNINGS + 1):
        tally = Tally()
        try:
            for pod in pods(kubectl, workload, found):
                tally.add(judge_pod(pod, expected))
            return tally
        except KubectlError as error:
            if error.reason != "Expired" or beginning == BEGINNINGS:
                raise
            print(f"note: the list of pods of {workload} was too old to go on with; once more", file=sys.stderr)
    raise AssertionError("unreachable")


def print_verdict(arguments: argparse.Namespace, checked: list[Checked], inputs: ClusterInputs) -> int:
    """Tell it; exit code 3 when anything is off."""
    good = all(one.good for one in checked)
    if arguments.json:
        print(json.dumps(_as_json(checked, inputs, good), indent=2))
        return 0 if good else DRIFT
    width = max(len(one.name) for one in checked)
    print(f"{'OBJECT':<{width}}  {'STATE':<9} {'PODS':>6} {'OK':>6} {'STALE':>6} {'WRONG':>6}")
    for one in checked:
        print(_row(one, width))
    for one in checked:
        for problem in one.problems:
            print(f"{one.name}: {redact(problem)}")
        for problem, names in sorted((one.tally.problems if one.tally else {}).items()):
            more = f" and {len(names) - _NAMES} more (--json names all)" if len(names) > _NAMES else ""
            many = f"{len(names)} pods" if len(names) > 1 else "1 pod"
            print("{}: {}: {}: {}{}".format(one.name, many, redact(problem), ", ".join(names[:_NAMES]), more))
    tell(inputs.warnings)
    if any(one.tally and not one.problems and one.tally.problems for one in checked):
        text = "a pod gets what its template has when it is replaced: kubectl rollout restart; with OnDelete, delete it"
        print(text, file=sys.stderr)
    return 0 if good else DRIFT


def _row(one: Checked, width: int) -> str:
    state = "wrong" if one.problems else "ok"
    if one.tally is None:
        return f"{one.name.ljust(width)}  {state}"
    counts = one.tally.counts
    numbers = (one.tally.pods, counts[OK], counts[STALE], counts[WRONG])
    return " ".join([f"{one.name:<{width}}  {state:<9}", *(f"{number:>6}" for number in numbers)])


def _as_json(checked: list[Checked], inputs: ClusterInputs, good: bool) -> dict[str, Any]:
    return {
        "schema": 1,
        "ok": good,
        "objects": [
            {
                "object": one.name,
                "problems": [redact(problem) for problem in one.problems],
                **({"pods": one.tally.counts} if one.tally else {}),
                **(
                    {"pod_problems": {redact(p): names for p, names in one.tally.problems.items()}} if one.tally else {}
                ),
            }
            for one in checked
        ],
        "warnings": [redact(warning) for warning in inputs.warnings],
    }
