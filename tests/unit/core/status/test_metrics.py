"""status.json as metrics."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.status.document import PHASES, StatusDocument
from agent.core.status.metrics import render as rendered

DROP_IN = "/etc/systemd/system/%s.service.d/zz-eks-proxy.conf"
FULL = {
    "schema": 1,
    "version": "1.2.3",
    "phase": "configured",
    "error": None,
    "updated": "2026-11-22T20:31:05+00:00",
    "since": "2026-11-22T18:00:00+00:00",
    "last_success": "2026-11-22T20:31:05+00:00",
    "next_pass": "2026-11-22T20:41:05+00:00",
    "intent": "349dd264e6c3",
    "files": ["/etc/environment", DROP_IN % "docker", DROP_IN % "kubelet"],
    "stale_units": ["docker.service"],
    "repairs": {"total": 7, "fought": ["/etc/environment"]},
    "proxies": [
        {"url": "http://one.corp:3128", "up": False, "latency_seconds": None, "chosen": False},
        {"url": "http://two.corp:3128", "up": True, "latency_seconds": 0.0123456789, "chosen": True},
    ],
    "preflight": {"ok": True, "kind": "ok", "text": "", "at": "2026-11-22T18:00:02+00:00"},
    "kept_flags": 2,
    "ca_not_after": "2031-11-22T00:00:00+00:00",
    "counters": {
        "passes": {"configured": 12, "unconfigured": 0, "degraded": 3},
        "failures": {"metadata": 2, "crash": 1},
        "failovers": 1,
        "restarts": {"restarted": 4},
        "probes": {"up": 30, "down": 5},
    },
}

GOLDEN = """\
build_info{python="3.9.16",version="1.2.3"} 1
phase{phase="configured"} 1
phase{phase="unconfigured"} 0
phase{phase="degraded"} 0
intent_info{hash="349dd264e6c3"} 1
drift_repairs_total 7
file_fought_over{path="/etc/environment"} 1
file_fought_over{path="/etc/systemd/system/docker.service.d/zz-eks-proxy.conf"} 0
file_fought_over{path="/etc/systemd/system/kubelet.service.d/zz-eks-proxy.conf"} 0
unit_stale{unit="docker.service"} 1
unit_stale{unit="kubelet.service"} 0
proxy_up{proxy="http://one.corp:3128"} 0
proxy_up{proxy="http://two.corp:3128"} 1
proxy_latency_seconds{proxy="http://two.corp:3128"} 0.0123457
proxy_chosen{proxy="http://one.corp:3128"} 0
proxy_chosen{proxy="http://two.corp:3128"} 1
preflight_ok 1
last_pass_timestamp_seconds 1795379465
last_success_timestamp_seconds 1795379465
next_pass_timestamp_seconds 1795380065
ca_not_after_timestamp_seconds 1953072000
kept_flags 2
passes_total{result="configured"} 12
passes_total{result="unconfigured"} 0
passes_total{result="degraded"} 3
failures_total{category="settings"} 0
failures_total{category="metadata"} 2
failures_total{category="file"} 0
failures_total{category="command"} 0
failures_total{category="crash"} 1
failures_total{category="other"} 0
failovers_total 1
unit_restarts_total{result="restarted"} 4
unit_restarts_total{result="refused"} 0
unit_restarts_total{result="failed"} 0
proxy_probes_total{result="up"} 30
proxy_probes_total{result="down"} 5
"""


def render(data, python=""):
    """The metrics of a status.json with these values."""
    return rendered(StatusDocument.from_json({"schema": 1, "phase": "configured", **data}), python)


def samples(text):
    """The lines that are not comments, without the common prefix."""
    return [re.sub("^eks_proxy_agent_", "", line) for line in text.splitlines() if not line.startswith("#")]


def test_a_full_status():
    """Every value of status.json has its sample, with times in whole seconds."""
    assert samples(render(FULL, "3.9.16")) == GOLDEN.splitlines()


def test_every_metric_is_explained_once():
    """HELP and TYPE stand before the first sample of each metric.

    They occur once; counters, and only they, end in _total.
    """
    lines = render(FULL).splitlines()
    names = list(dict.fromkeys(re.match("[a-z_]+", line).group() for line in lines if not line.startswith("#")))
    explained = [line.split()[2] for line in lines if line.startswith("# HELP ")]
    kinds = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE "))
    assert explained == names == list(kinds)
    assert {name for name, kind in kinds.items() if kind == "counter"} == {
        name for name in names if name.endswith("_total")
    }


@pytest.mark.parametrize(
    "key",
    [
        *("repairs", "proxies", "preflight", "stale_units", "next_pass", "last_success", "intent"),
        *("kept_flags", "ca_not_after", "counters"),
    ],
)
def test_an_unknown_value_has_no_sample(key):
    """A missing value gives neither a zero nor a header."""
    less = {name: value for name, value in FULL.items() if name != key}
    text, full = render(less), render(FULL)
    assert set(text.splitlines()) < set(full.splitlines())
    assert len(re.findall("# TYPE", text)) < len(re.findall("# TYPE", full))


@pytest.mark.parametrize("phase", PHASES)
def test_the_current_phase_is_1_and_the_others_are_0(phase):
    """The other phases have samples too, so that a query needs no absent()."""
    text = render({"phase": phase})
    assert re.findall(r'phase\{phase="([a-z]+)"\} 1', text) == [phase]
    assert len(re.findall(r"^eks_proxy_agent_phase\{", text, re.MULTILINE)) == len(PHASES)


def test_a_failed_preflight_is_zero():
    """A failed preflight is zero and not absent."""
    assert "eks_proxy_agent_preflight_ok 0\n" in render({"preflight": {**FULL["preflight"], "ok": False}})


def test_units_without_a_drop_in_count_too():
    """A stale unit has a sample even if its drop-in is not among the files."""
    assert 'unit_stale{unit="other.service"} 1' in render({"files": [], "stale_units": ["other.service"]})


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_label_values_are_escaped(path):
    """A sample stays one line for any path, and unescaping gives the path."""
    text = render({"repairs": {"total": 0, "fought": [path]}})
    match = re.search(r'^eks_proxy_agent_file_fought_over\{path="((?:[^"\\\n]|\\.)*)"\} 1$', text, re.MULTILINE)
    assert match
    unescaped = re.sub(r"\\(.)", lambda escape: {"n": "\n"}.get(escape.group(1), escape.group(1)), match.group(1))
    assert unescaped == path
