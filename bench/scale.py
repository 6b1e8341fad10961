"""`make bench ARGS=scale`: cost of large and hostile inputs, and how it grows with their size.

The contract is that of docs/user-data.md: within the limits at most 1 s of CPU and 64 MiB above the
baseline, in linear time.  Each measurement is a forked child, which has imported everything before.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import math
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Callable

from agent.core.noproxy import entries
from agent.core.noproxy.dialects.request import parse_request
from agent.core.noproxy.entries import parse_operator_entry
from agent.core.noproxy.explain import Values, routes_of, variables
from agent.core.noproxy.explain_view import paragraph
from agent.core.noproxy.lint import judge
from agent.core.plan.diff import unified
from agent.core.plan.files.environment import EnvironmentFile
from agent.core.plan.files.yum_conf import DnfConf
from agent.core.plan.plan import Change
from agent.core.record import record
from agent.core.redact import redact
from agent.core.settings.layers import merge, parse_toml
from agent.core.settings.toml_text import USER_DATA_LIMIT
from agent.core.status.document import CONFIGURED, StatusDocument
from agent.errors import AgentError
from bench import scale_remote

CPU, MEMORY, GROWTH = 1.0, 64.0, 1.25  # seconds, MiB, exponent of the size
#: Parts of a contract's size that are measured, and repetitions, of which the fastest counts.
PARTS, REPEATS = (1 / 8, 1 / 4, 1 / 2, 1), 3
#: Modules of tests/fuzz with inputs at the limits, and how many of each are shown.
FUZZ, SHOWN = (
    ("test_settings", "test_noproxy", "test_proxy_answers", "test_user_data", "test_node_config", "test_metadata"),
    2,
)

Work = Callable[[], object]
_VARIABLES = tuple(variables("http://p:1", "http://p:1", "localhost").items())


@record
class Contract:
    """Work of a size; `make(size)` returns it, and is not measured itself.

    `cpu` and `memory` are limits, infinite if nothing hostile can be in it: then the growth counts.
    The fastest of so many `repeats` counts.
    """

    name: str
    size: int
    unit: str
    make: Callable[[int], Work]
    cpu: float = CPU
    memory: float = MEMORY
    repeats: int = REPEATS


@record
class Cost:
    """Cost of one run: seconds of CPU, MiB above the baseline."""

    cpu: float
    memory: float


def _lint(entry: Callable[[int], str]) -> Callable[[int], Work]:
    def make(size: int) -> Work:
        values = _values(map(entry, range(size)))
        return lambda: sum(1 for _ in judge(values, region="eu-central-1"))

    return make


def _explain(size: int) -> Work:
    values = _values(map(_mixed, range(size)))
    targets = [parse_request(f"https://w.h{number}.corp.example.org/") for number in range(100)]
    return lambda: [list(paragraph(target, routes_of(target, values))) for target in targets]


def _values(names: Iterator[str]) -> Values:
    return Values(variables("http://p:1", "http://p:1", ",".join(names)))


def _mixed(number: int) -> str:
    forms = (
        "h{0}.corp.example",
        ".s{0}.corp.example",
        "10.{1}.{2}.0/24",
        "10.9.{1}.{2}",
        "fd00::{0:x}",
        "h{0}.corp:8080",
    )
    return forms[number % len(forms)].format(number, number % 250, number // 250)


def _nested(number: int) -> str:
    return f"10.0.0.0/{number + 8}" if number < 24 else f"10.0.{number // 250}.{number % 250}"


def _compose(size: int) -> Work:
    operator = [f"h{number}.corp.example.com" for number in range(size * 10 // 11)]
    cidrs = [f"10.{number % 250}.{number // 250}.0/24" for number in range(size // 11)]
    return lambda: entries.render(entries.compose(vpc_cidrs=cidrs, operator=map(parse_operator_entry, operator)))


def _settings(line: str, start: str = "") -> Callable[[int], Work]:
    def make(size: int) -> Work:
        text = (start + "".join(line.format(number) for number in range(size))).encode()
        return lambda: _refused(text)

    return make


def _refused(text: bytes) -> str:
    with contextlib.suppress(AgentError):
        merge([parse_toml("user data", text, USER_DATA_LIMIT)])
        return "valid"
    return "refused"


def _lines_of(form: str, size: int, first: str = "") -> bytes:
    """Return `size` KiB of lines."""
    return (first + "".join(form.format(number) for number in range(size * 1024 // len(form.format(1))))).encode()


def _environment(size: int) -> Work:
    content = _lines_of("NAME{0:07}=value\n", size)
    return lambda: EnvironmentFile(_VARIABLES).merge(content)


def _dnf_conf(size: int) -> Work:
    content = _lines_of("key{0:07}=value\n", size, "[main]\n")
    return lambda: DnfConf("http://p:1").merge(content)


def _diff(size: int) -> Work:
    """Return the diff of a file that repeats 150 lines, with a change at each end."""
    lines = "".join(f"k{number % 150:03}=v\n" for number in range(size * 1024 // 7))
    change = Change("/etc/environment", f"http_proxy=a\n{lines}".encode(), f"{lines}http_proxy=b\n".encode())
    return lambda: unified(change)


def _status(size: int) -> Work:
    composed = entries.compose(operator=map(parse_operator_entry, map(_mixed, range(size))))
    document = StatusDocument(CONFIGURED, no_proxy=composed)
    return lambda: StatusDocument.from_json(json.loads(json.dumps(document.to_json())))


CONTRACTS = (
    Contract("lint: names", 3000, "entries", _lint(lambda number: f"h{number}.corp.example.com")),
    Contract("lint: all forms", 3000, "entries", _lint(_mixed)),
    Contract("lint: addresses in 24 networks", 3000, "entries", _lint(_nested)),
    Contract("explain: 100 hosts", 3000, "entries", _explain),
    Contract("settings: wrong keys", 1000, "keys", _settings("key{0} = 1\n", "[proxy]\n")),
    Contract("settings: wrong entries", 5000, "entries", _settings("'*.{0}',", "[proxy]\nno_proxy = [")),
    Contract("settings: keys with 64 dots", 450, "keys", _settings("k{0}." + "a." * 63 + "a = 1\n")),
    Contract("compose: 10 entries to each CIDR", 550, "entries", _compose),
    Contract("/etc/environment: apply", 4096, "KiB", _environment, math.inf, math.inf),
    Contract("dnf.conf: apply", 4096, "KiB", _dnf_conf, math.inf, math.inf),
    Contract("plan: diff of repeated lines", 4096, "KiB", _diff, math.inf, math.inf),
    Contract("status.json: write and read", 5000, "entries", _status),
    Contract("check: endpoints", 200, "endpoints", scale_remote.check_endpoints),
    Contract("cluster apply", 300, "workloads", scale_remote.cluster_apply, math.inf),
    Contract("cluster verify", 300, "workloads", scale_remote.cluster_verify, math.inf),
    Contract("cluster verify: pods in pages", 100_000, "pods", scale_remote.verify_pods, math.inf, repeats=1),
    Contract("redact: a text of 64 KiB", 64, "KiB", lambda size: lambda: redact(" /proxy=a://" * (size * 1024 // 12))),
)


def main(arguments: Sequence[str]) -> None:
    """Measure and print; exit with 1 if something is beyond the contract."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=scale", description=__doc__.splitlines()[0])
    parser.parse_args(arguments)
    print(f"Python {platform.python_version()}; contract: {CPU:g} s, {MEMORY:g} MiB, growth up to {GROWTH:g}\n")
    print(f"{'':<34}{'size':>15} {'s of CPU':>10} {'MiB':>8} {'growth':>8}")
    beyond = [contract.name for contract in CONTRACTS if not _report(contract)]
    print(f"\n{'the most expensive inputs of tests/fuzz':<50} {'s of CPU':>10} {'MiB':>8}")
    for module in FUZZ:
        bombs = sorted(_bombs(module), key=lambda row: row[1].cpu, reverse=True)
        for name, cost in bombs[:SHOWN]:
            print(f"{name:<50} {cost.cpu:>10.3f} {cost.memory:>8.1f}", flush=True)
        beyond += [name for name, cost in bombs if not _is_within(cost)]
    if beyond:
        print("\nbeyond the contract: " + ", ".join(beyond))
    sys.exit(1 if beyond else 0)


def _report(contract: Contract) -> bool:
    sizes = [max(1, int(contract.size * part)) for part in PARTS]
    costs = [_least_cost(contract.make(size), contract.repeats) for size in sizes]
    growth = _slope([math.log(size) for size in sizes], [math.log(max(cost.cpu, 1e-4)) for cost in costs])
    size = f"{contract.size:,} {contract.unit}"
    print(f"{contract.name:<34}{size:>15} {costs[-1].cpu:>10.3f} {costs[-1].memory:>8.1f} {growth:>8.2f}", flush=True)
    return _is_within(costs[-1], contract.cpu, contract.memory) and growth <= GROWTH


def _is_within(cost: Cost, cpu: float = CPU, memory: float = MEMORY) -> bool:
    return cost.cpu <= cpu and cost.memory <= memory


def _slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the slope of the straight line with the least squares."""
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys)) / sum((a - x) ** 2 for a in xs)


def _bombs(module: str) -> Iterator[tuple[str, Cost]]:
    """Yield the inputs at the limits of a module of tests/fuzz, each with its cost."""
    for title, bomb in importlib.import_module("tests.fuzz." + module).BOMBS.items():
        _survive(partial(bomb.read, b"x"))  # imports what it needs
        yield f"{module[len('test_') :]}: {title}", _least_cost(partial(bomb.read, bomb.make()))


def _survive(work: Work) -> None:
    with contextlib.suppress(AgentError):
        work()


def _least_cost(work: Work, repeats: int = REPEATS) -> Cost:
    """Return the cost of the fastest of so many runs; other programs make the others slower."""
    return min((_cost(work) for _ in range(repeats)), key=lambda cost: cost.cpu)


def _cost(work: Work) -> Cost:
    """Return the cost of work in a child."""
    readable, writable = os.pipe()
    if os.fork() == 0:
        os.close(readable)
        baseline = _process_status("VmRSS")
        begin = time.process_time()
        _survive(work)
        cpu = time.process_time() - begin
        os.write(writable, json.dumps([cpu, (_process_status("VmHWM") - baseline) / 1024]).encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as report:
        text = report.read()
    os.wait()
    return Cost(*json.loads(text))


def _process_status(field: str) -> int:
    """Return a field of proc(5)'s status in KiB: VmRSS is the memory now, VmHWM its peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))
