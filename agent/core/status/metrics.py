"""status.json as metrics, in the text format of Prometheus (and OpenMetrics' names for counters and times)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.core.plan.files.systemd_dropin import unit_of
from agent.core.status.timestamps import epoch

PREFIX = "eks_proxy_agent_"
PHASES = ("configured", "unconfigured", "degraded")

Labels = tuple[tuple[str, str], ...]
Samples = Sequence[tuple[Labels, float]]


def render(status: Mapping[str, Any], python: str = "") -> str:
    """The metrics of a node.  What `status` does not say gets no sample: an absent value is not zero.

    `python` is the version of the interpreter.  Label values are as `status` has them, which is without credentials.
    """
    build = {"python": python, "version": str(status.get("version", ""))}
    lines = _family("build_info", "gauge", "The agent and its Python; the value is always 1.", [(_labels(build), 1)])
    lines += _phase(status)
    lines += _intent(status)
    lines += _repairs(status)
    lines += _units(status)
    lines += _proxies(status)
    lines += _preflight(status)
    for name, key, text in _TIMES:
        moment = epoch(status.get(key))
        lines += _family(name, "gauge", text, [] if moment is None else [((), moment)])
    return "".join(line + "\n" for line in lines)


_TIMES = (
    ("last_pass_timestamp_seconds", "updated", "When the agent last looked at the node."),
    ("last_success_timestamp_seconds", "last_success", "When the node was last found, or made, as planned."),
    ("next_pass_timestamp_seconds", "next_pass", "When the agent will look again at the latest."),
)


def _phase(status: Mapping[str, Any]) -> list[str]:
    now = status.get("phase")
    return _family(
        "phase",
        "gauge",
        "1 for the phase that the node is in, 0 for the others.",
        [(_labels({"phase": phase}), phase == now) for phase in PHASES],
    )


def _intent(status: Mapping[str, Any]) -> list[str]:
    digest = status.get("intent")
    text = "What the node is configured with; the same hash on two nodes means the same proxies and NO_PROXY."
    return _family("intent_info", "gauge", text, [(_labels({"hash": str(digest)}), 1)] if digest else [])


def _repairs(status: Mapping[str, Any]) -> list[str]:
    repairs = status.get("repairs") or {}
    total = repairs.get("total")
    fought = set(repairs.get("fought") or ())
    paths = sorted(fought.union(status.get("files") or ()))
    return _family(
        "drift_repairs_total",
        "counter",
        "Files that others had changed and that the agent put right.",
        [] if total is None else [((), total)],
    ) + _family(
        "file_fought_over",
        "gauge",
        "1 for a file that others change again and again; the agent leaves it alone.",
        [(_labels({"path": path}), path in fought) for path in paths] if repairs else [],
    )


def _units(status: Mapping[str, Any]) -> list[str]:
    stale = status.get("stale_units")
    known = [name for name in map(unit_of, status.get("files") or ()) if name]
    units = sorted(set(known).union(stale or ()))
    return _family(
        "unit_stale",
        "gauge",
        "1 for a unit that runs with an older proxy environment and needs a restart.",
        [] if stale is None else [(_labels({"unit": unit}), unit in stale) for unit in units],
    )


def _proxies(status: Mapping[str, Any]) -> list[str]:
    proxies = [(_labels({"proxy": str(one.get("url"))}), one) for one in status.get("proxies") or ()]
    up = [(labels, bool(one["up"])) for labels, one in proxies if one.get("up") is not None]
    latency = [(labels, one["latency_seconds"]) for labels, one in proxies if one.get("latency_seconds") is not None]
    chosen = [(labels, bool(one.get("chosen"))) for labels, one in proxies]
    return (
        _family("proxy_up", "gauge", "1 for a proxy that answered when it was last asked.", up)
        + _family(
            "proxy_latency_seconds", "gauge", "How long the proxy took to answer when it was last asked.", latency
        )
        + _family("proxy_chosen", "gauge", "1 for the proxy that the node uses.", chosen)
    )


def _preflight(status: Mapping[str, Any]) -> list[str]:
    preflight = status.get("preflight") or {}
    return _family(
        "preflight_ok",
        "gauge",
        "1 if the proxy gave a connection after the boot.",
        [((), bool(preflight["ok"]))] if preflight.get("ok") is not None else [],
    )


def _family(name: str, kind: str, text: str, samples: Samples) -> list[str]:
    """HELP, TYPE and samples of one metric; nothing without samples."""
    if not samples:
        return []
    lines = [f"# HELP {PREFIX}{name} {text}", f"# TYPE {PREFIX}{name} {kind}"]
    return lines + [f"{PREFIX}{name}{_braces(labels)} {_number(value)}" for labels, value in samples]


def _labels(values: dict[str, str]) -> Labels:
    return tuple(values.items())


def _braces(labels: Labels) -> str:
    return "{{{}}}".format(",".join(f'{name}="{_escaped(value)}"' for name, value in labels)) if labels else ""


def _escaped(value: str) -> str:
    """A label value: backslash, quote and line feed are escaped, nothing else is (exposition format 0.0.4)."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    """Whole numbers without a fraction; a time in seconds would else lose its last digits."""
    return str(int(value)) if value == int(value) else f"{value:.6g}"
