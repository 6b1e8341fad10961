"""status.json as metrics in the text format of Prometheus.

The names of counters and timestamps follow OpenMetrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.core.plan.files.systemd_dropin import EnvironmentDropin
from agent.core.status.counters import Counters
from agent.core.status.document import PHASES, StatusDocument

PREFIX = "eks_proxy_agent_"

Labels = tuple[tuple[str, str], ...]
Samples = Sequence[tuple[Labels, float]]


def render(status: StatusDocument, python: str = "") -> str:
    """Return the metrics of a node.

    A value that `status` does not have gets no sample: absent is not zero.  `python` is the version
    of the interpreter.  Label values come from `status`, which has no credentials.
    """
    build = {"python": python, "version": status.version or ""}
    lines = _family("build_info", "gauge", "Versions of the agent and of its Python; always 1.", [(_labels(build), 1)])
    lines += _phase(status)
    lines += _intent(status)
    lines += _repairs(status)
    lines += _units(status)
    lines += _proxies(status)
    lines += _preflight(status)
    lines += _time("last_pass", "Time of the last reconcile.", status.updated)
    lines += _time("last_success", "Time of the last reconcile that was not degraded.", status.last_success)
    lines += _time("next_pass", "Latest time of the next reconcile.", status.next_pass)
    text = "Time at which the next certificate of node.ca_bundle expires; the last expiry if all have expired."
    lines += _time("ca_not_after", text, status.ca_not_after)
    lines += _kept_flags(status)
    lines += _counters(status.counters)
    return "".join(line + "\n" for line in lines)


def _phase(status: StatusDocument) -> list[str]:
    return _family(
        "phase",
        "gauge",
        "1 for the phase of the node, 0 for the others.",
        [(_labels({"phase": phase}), phase == status.phase) for phase in PHASES],
    )


def _intent(status: StatusDocument) -> list[str]:
    text = "Hash of the node's proxies and NO_PROXY; nodes with the same hash have the same values. Always 1."
    return _family("intent_info", "gauge", text, [(_labels({"hash": status.digest}), 1)] if status.digest else [])


def _repairs(status: StatusDocument) -> list[str]:
    repairs = status.repairs
    if repairs is None:
        return []
    return _family(
        "drift_repairs_total",
        "counter",
        "Files that another program had changed and the agent repaired.",
        [((), repairs.total)],
    ) + _family(
        "file_fought_over",
        "gauge",
        "1 for a file that another program keeps changing; the agent leaves it alone.",
        [(_labels({"path": path}), path in repairs.fought) for path in sorted({*repairs.fought, *status.files})],
    )


def _units(status: StatusDocument) -> list[str]:
    stale = status.stale_units
    if stale is None:
        return []
    units = [name for name in map(EnvironmentDropin.unit_of, status.files) if name]
    return _family(
        "unit_stale",
        "gauge",
        "1 for a unit that runs with an old proxy environment and needs a restart.",
        [(_labels({"unit": unit}), unit in stale) for unit in sorted({*units, *stale})],
    )


def _proxies(status: StatusDocument) -> list[str]:
    proxies = [(_labels({"proxy": proxy.url}), proxy) for proxy in status.proxies or ()]
    up = [(labels, proxy.up) for labels, proxy in proxies if proxy.up is not None]
    latency = [(labels, proxy.latency_seconds) for labels, proxy in proxies if proxy.latency_seconds is not None]
    chosen = [(labels, proxy.chosen) for labels, proxy in proxies]
    return (
        _family("proxy_up", "gauge", "1 for a proxy that was up at its last health check.", up)
        + _family("proxy_latency_seconds", "gauge", "Time that the last health check of the proxy took.", latency)
        + _family("proxy_chosen", "gauge", "1 for the proxy in use.", chosen)
    )


def _preflight(status: StatusDocument) -> list[str]:
    return _family(
        "preflight_ok",
        "gauge",
        "1 if the preflight of this boot succeeded.",
        [((), status.preflight.ok)] if status.preflight else [],
    )


def _kept_flags(status: StatusDocument) -> list[str]:
    kept = status.kept_flags
    text = "Number of settings that eks-proxy-agent apply keeps for this instance."
    return _family("kept_flags", "gauge", text, [] if kept is None else [((), kept)])


def _counters(counters: Counters | None) -> list[str]:
    """Return the counters, with zeros: a rate needs the sample before the first event."""
    if counters is None:
        return []
    lines = _counter("passes", "Reconciles of the daemon, by the phase they ended in.", "result", counters.passes)
    lines += _counter("failures", "Errors that made the node degraded, by category.", "category", counters.failures)
    text = "Changes of the proxy in use because it had failed."
    lines += _family("failovers_total", "counter", text, [((), counters.failovers)])
    lines += _counter("unit_restarts", "Restarts of stale units, by result.", "result", counters.restarts)
    lines += _counter("proxy_probes", "Health checks of proxies, by result.", "result", counters.probes)
    return lines


def _counter(name: str, text: str, label: str, values: Mapping[str, int]) -> list[str]:
    samples = [(_labels({label: value}), count) for value, count in values.items()]
    return _family(f"{name}_total", "counter", text, samples)


def _time(name: str, text: str, seconds: int | None) -> list[str]:
    return _family(f"{name}_timestamp_seconds", "gauge", text, [] if seconds is None else [((), seconds)])


def _family(name: str, kind: str, text: str, samples: Samples) -> list[str]:
    """Return HELP, TYPE and samples of one metric; nothing without samples."""
    if not samples:
        return []
    lines = [f"# HELP {PREFIX}{name} {text}", f"# TYPE {PREFIX}{name} {kind}"]
    return lines + [f"{PREFIX}{name}{_braces(labels)} {_number(value)}" for labels, value in samples]


def _labels(values: dict[str, str]) -> Labels:
    return tuple(values.items())


def _braces(labels: Labels) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    """Return a label value with backslash, double quote and line feed escaped.

    No other character needs it (exposition format 0.0.4).
    """
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    """Return a number as text, an integer without a fraction.

    In the other format a timestamp in seconds would lose its last digits.
    """
    return str(int(value)) if value == int(value) else f"{value:.6g}"
