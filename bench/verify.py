"""`make bench ARGS=verify`: `cluster verify` of 10,000 pods of a real API server.

The comparison is `kubectl get pods -o json`. The pods are those of aws-node after `cluster apply`,
with the status that kubelet reports for a running pod, but they do not run.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.boot.harness.command import BedError
from tests.cluster.harness.control_plane import ControlPlane
from tests.cluster.harness.directory import own_directory
from tests.cluster.harness.nodes import running_status

ROOT = Path(__file__).resolve().parents[1]
CLUSTER_TESTS = ROOT / "tests/cluster"
SETTINGS = """\
[proxy]
url = "http://proxy.example.com:3128"

[aws]
direct = []

[cluster]
endpoint_access = "private"
endpoint = "https://0123456789abcdef0123456789abcdef.gr7.eu-west-1.eks.amazonaws.com"
workloads = ["kube-system/daemonset/aws-node"]

[vpc]
cidrs = ["10.0.0.0/16"]

[metadata]
endpoint = "http://127.0.0.1:9"
"""
WRITERS = 4  # connections that create pods in parallel
SAMPLE_INTERVAL = 0.03  # seconds between two readings of the memory of a command
Cost = dict[str, float]
FIGURES = {
    "seconds": "s from start to end",
    "cpu": "s of CPU, children included",
    "memory": "MB peak of all processes (PSS)",
}


def main(arguments: Sequence[str]) -> None:
    """Create the pods, measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=verify", description=__doc__)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args(arguments)
    programs = subprocess.run([CLUSTER_TESTS / "kubernetes.sh"], check=True, stdout=subprocess.PIPE, text=True).stdout
    cluster = ControlPlane(own_directory(), Path(programs.strip()))
    rows: dict[str, list[Cost]] = {"verify": [], "kubectl": []}
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as settings:
            settings.write(SETTINGS)
            settings.flush()
            commands = _commands(cluster, settings.name)
            _populate(cluster, commands["apply"], options.pods)
            for number in range(options.pairs):
                for name, costs in rows.items():
                    costs.append(_cost(commands[name], cluster.environment))
                print(f"pair {number + 1} of {options.pairs}", file=sys.stderr)
    finally:
        cluster.close()
    _report(rows, options)


def _commands(cluster: ControlPlane, settings: str) -> dict[str, list[str]]:
    flags = ["--kubeconfig", str(cluster.kubeconfig)]
    agent = [sys.executable, "-m", "agent", "cluster"]
    return {
        "apply": [*agent, "apply", *flags, "--config", settings],
        "verify": [*agent, "verify", *flags, "--config", settings],
        "kubectl": [
            str(cluster.programs / "kubectl"),
            *flags,
            "get",
            "pods",
            "--namespace=kube-system",
            "--output=json",
        ],
    }


# --- the pods
# -------------------------------------------------------------------------------------------------


def _populate(cluster: ControlPlane, apply: list[str], count: int) -> None:
    """Apply the variables to the workload, and create its pods."""
    cluster.kubectl("apply", "-f", CLUSTER_TESTS / "manifests/aws-node.yaml")
    subprocess.run(apply, cwd=ROOT, env=cluster.environment, check=True, stdout=subprocess.DEVNULL)
    for name in ("kube-scheduler", "kube-controller-manager"):
        cluster.processes.pop(name).stop()  # they would adopt the pods, and delete them for lack of nodes
    daemon_set = cluster.get("daemonset/aws-node", "--namespace=kube-system")
    begin = time.monotonic()
    errors: list[BaseException] = []
    threads = [
        threading.Thread(target=_write, args=(cluster, daemon_set, range(n, count, WRITERS), errors))
        for n in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    print(f"{count} pods created in {time.monotonic() - begin:.0f} s", file=sys.stderr)


def _write(cluster: ControlPlane, daemon_set: dict[str, Any], numbers: range, errors: list[BaseException]) -> None:
    api = cluster.api()
    path = "/api/v1/namespaces/kube-system/pods"
    metadata = daemon_set["metadata"]
    owner = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "name": "aws-node",
        "uid": metadata["uid"],
        "controller": True,
    }
    try:
        for number in numbers:
            pod = copy.deepcopy(daemon_set["spec"]["template"])
            pod["metadata"].update(name=f"aws-node-{number:05}", ownerReferences=[owner])
            pod["metadata"].pop("creationTimestamp", None)
            pod["spec"]["nodeName"] = f"ip-10-0-{number // 256}-{number % 256}.eu-west-1.compute.internal"
            created = api.create(path, {"apiVersion": "v1", "kind": "Pod", **pod})
            status = {"status": running_status(created)}
            api.patch(f"{path}/{pod['metadata']['name']}/status", status, "strategic")
    except (BedError, OSError) as error:
        errors.append(error)


# --- the measuring
# -------------------------------------------------------------------------------------------------


def _cost(command: list[str], environment: dict[str, str]) -> Cost:
    """Return the time, CPU and memory of a command; its output is discarded."""
    with tempfile.TemporaryFile() as errors:
        begin = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=errors)
        peak = 0
        while True:
            pid, status, cpu = _waited(process.pid)
            if pid:
                break
            peak = max(peak, sum(_memory(member) for member in _tree(process.pid)))
            time.sleep(SAMPLE_INTERVAL)
        seconds = time.monotonic() - begin
        process.returncode = status
        errors.seek(0)
        assert status == 0, f"{command}: status {status}\n{errors.read().decode()}"
    return {"seconds": seconds, "cpu": cpu, "memory": peak / 1024}


def _waited(pid: int) -> tuple[int, int, float]:
    exited, status, usage = os.wait4(pid, os.WNOHANG)
    return exited, status, usage.ru_utime + usage.ru_stime


def _tree(pid: int) -> set[int]:
    """Return a process and all its descendants (proc(5), children)."""
    pids = {pid}
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            pids |= _tree(child)
    return pids


def _memory(pid: int) -> int:
    """Return the PSS of a process in kB, its part of shared pages (proc(5), smaps_rollup)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has just exited
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _report(rows: dict[str, list[Cost]], options: argparse.Namespace) -> None:
    print(f"{options.pods} pods, {options.pairs} pairs; median (min to max)\n")
    print(f"{'':<40} {'cluster verify':>24} {'kubectl get pods':>24} {'ratio':>9}")
    for key, text in FIGURES.items():
        verify, kubectl = ([row[key] for row in rows[name]] for name in rows)
        ratio = statistics.median(a / b for a, b in zip(verify, kubectl))
        print(f"{text:<40} {_spread(verify):>24} {_spread(kubectl):>24} {ratio:>9.2f}")


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"
