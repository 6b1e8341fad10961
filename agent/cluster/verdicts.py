"""Verdicts of `cluster verify` on objects and pods, and the one on a ConfigMap or Secret."""

from __future__ import annotations

import collections
import sys
from collections.abc import Iterable, Sequence
from typing import Callable

from agent.cluster.inputs import ClusterInputs
from agent.core.cluster.managed_fields import data_changed
from agent.core.cluster.objects import read_source, source_path
from agent.core.cluster.pod_state import ENDING, OK, STALE, WRONG, Expected, PodVerdict, source_problems
from agent.core.record import record
from agent.edges.kubectl import Kubectl, KubectlError

NOT_FOUND = "not found"
#: How often a list is read from its beginning, if its continue token expires.
ATTEMPTS = 3


class PodSummary:
    """Pods of one workload or namespace.

    `problems` maps a problem to the pods that have it, `notes` something that is not a problem.
    """

    def __init__(self) -> None:
        self.counts = {OK: 0, STALE: 0, WRONG: 0, ENDING: 0}
        self.problems: dict[str, list[str]] = collections.defaultdict(list)
        self.notes: dict[str, list[str]] = collections.defaultdict(list)

    @property
    def count(self) -> int:
        """Number of pods without those that terminate or have terminated."""
        return self.counts[OK] + self.counts[STALE] + self.counts[WRONG]

    def add(self, pod: PodVerdict, notes: Sequence[str] = ()) -> None:
        self.counts[pod.state] += 1
        name = pod.name + (" on " + pod.node if pod.node else "")
        for problem in pod.problems:
            self.problems[problem].append(name)
        for note in notes:
            self.notes[note].append(name)


@record
class ObjectVerdict:
    """Problems of one object; a workload also has a summary of its pods."""

    name: str
    problems: tuple[str, ...]
    summary: PodSummary | None = None

    @property
    def is_ok(self) -> bool:
        return not self.problems and (self.summary is None or not self.summary.problems)


def check_source(kubectl: Kubectl, inputs: ClusterInputs, kind: str, namespace: str) -> tuple[ObjectVerdict, Expected]:
    """Return the verdict on the ConfigMap or Secret of a namespace, and the values for its pods."""
    desired = dict(inputs.intent.variables(secret=True))
    obj = kubectl.find(source_path(kind, namespace), kind) or {"kind": kind, "metadata": {"namespace": namespace}}
    source = read_source(obj)
    is_absent = "uid" not in obj["metadata"]
    problems = [NOT_FOUND] if is_absent else source_problems(source, desired, inputs.direct)
    created = str(obj["metadata"].get("creationTimestamp") or "")
    changed, edited = data_changed(obj, by_us=True), data_changed(obj, by_us=False)
    return ObjectVerdict(str(source), tuple(problems)), Expected(source, changed, edited, created)


def summarize(name: str, judged: Callable[[], Iterable[tuple[PodVerdict, Sequence[str]]]]) -> PodSummary:
    """Return the summary of pods, each with its notes; if their list expires, read it again.

    Raises KubectlError.
    """
    for attempt in range(1, ATTEMPTS + 1):
        summary = PodSummary()
        try:
            for verdict, notes in judged():
                summary.add(verdict, notes)
            return summary
        except KubectlError as error:
            if error.reason != "Expired" or attempt == ATTEMPTS:
                raise
            print(f"note: {name}: the list of pods expired; reading it again", file=sys.stderr)
    raise AssertionError("unreachable")
