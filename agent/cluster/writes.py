"""Parts of `cluster apply` and `cluster revert`: completed steps, patches, objects in use."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable

from agent.cluster.pods import find_dependent
from agent.core.cluster.objects import read_source
from agent.core.cluster.patch import Patch, patch_text
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl, retry
from agent.errors import AgentError

UNDO_APPLY = "to undo: eks-proxy-agent cluster revert"
UNDO_REVERT = "to undo: eks-proxy-agent cluster apply"


@contextlib.contextmanager
def completed_steps_on_failure(done: list[str], undo: str) -> Iterator[None]:
    """Print the completed steps if a later one fails, and how to undo them."""
    try:
        yield
    except (AgentError, KeyboardInterrupt, OSError) as error:  # OSError: the reader of stdout is gone
        steps = "; ".join(done) or "nothing"
        print(f"completed before the error: {steps}{f'; {undo}' if done else ''}", file=sys.stderr)
        if isinstance(error, AgentError) and not error.hint and done:
            error.hint = undo
        raise


def report(done: list[str], text: str) -> None:
    """Print a completed step."""
    done.append(text)
    print(text, flush=True)


def delete(kubectl: Kubectl, path: str, obj: Mapping[str, Any], name: str, done: list[str]) -> None:
    """Delete exactly this object, and report it."""
    kubectl.delete(path, str(obj["metadata"]["uid"]), f"deleting {name}")
    report(done, f"deleted {name}")


def patch_workload(kubectl: Kubectl, workload: Workload, make: Callable[[Any], Patch]) -> bool:
    """Read and patch a workload, and return True if there was anything to write.

    If the workload was written in between, read it again.
    """
    doing = f"patching {workload}"

    def attempt() -> bool:
        patch = make(kubectl.get(workload.path, workload.kind, f"reading {workload}"))
        if patch.ops:
            kubectl.patch(workload, patch_text(patch), doing, dry_run=False)
        return bool(patch.ops)

    return retry(attempt, outdated=True)


def is_needed(kubectl: Kubectl, obj: Mapping[str, Any], workloads: Sequence[Workload], done: list[str]) -> bool:
    """Return True, and report it, if a template or an old pod still needs a ConfigMap or Secret."""
    kind, namespace = str(obj["kind"]), obj["metadata"]["namespace"]
    dependents = (find_dependent(kubectl, workload, kind) for workload in workloads if workload.namespace == namespace)
    dependent = next(filter(None, dependents), "")
    if dependent:
        source = read_source(obj)
        report(done, f"kept {source}: {dependent} requires it; run this again when nothing refers to it")
    return bool(dependent)
