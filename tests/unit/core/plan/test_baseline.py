"""The baseline as JSON: it comes back whole, and no path in it leads anywhere else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.plan.baseline import Attributes, Baseline, Record, forget_instance, plain_path
from agent.core.plan.files.kinds import KINDS

NAMES = st.text("abc.-_", min_size=1, max_size=5).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))
NUMBERS = st.integers(0, 2**32 - 2)
ATTRIBUTES = st.builds(
    Attributes, NUMBERS, NUMBERS, st.dictionaries(NAMES, st.binary()).map(lambda values: tuple(sorted(values.items())))
)
RECORDS = st.builds(
    Record,
    st.sampled_from([kind for kind in KINDS if kind != "whole"]),
    st.none() | st.binary(),
    st.integers(0, 0o7777),
    st.lists(st.text("0123456789abcdef")).map(tuple),
    st.none() | ATTRIBUTES,
)
BASELINES = st.builds(
    Baseline,
    st.dictionaries(PATHS, RECORDS),
    st.lists(PATHS).map(tuple),
    st.lists(st.from_regex(r"[a-z@]{1,8}\.service", fullmatch=True)).map(tuple),
    st.booleans(),
)


@given(BASELINES)
def test_a_baseline_comes_back_whole(baseline: Baseline) -> None:
    """Through JSON, as it is on disk."""
    assert Baseline.from_json(json.loads(json.dumps(baseline.to_json()))) == baseline


@pytest.mark.parametrize(
    "path", ["", "/", "x", "x/y", "/..", "/a/../b", "/a/.", "//a", "/a//b", "/a/", "/a\0", None, 7, ["/a"]]
)
def test_other_paths_are_refused(path: Any) -> None:
    """Relative ones, those with dots or empty names, and text that is not a path."""
    with pytest.raises(ValueError, match="path"):
        plain_path(path)


@pytest.mark.parametrize(
    "change",
    [
        {"mode": -1},
        {"mode": 0o10000},
        {"mode": True},
        {"mode": "420"},
        {"before": 7},
        {"before": "!"},
        {"kind": "x"},
        {"written": "x"},
        {"attributes": 7},
        {"attributes": {"owner": 2**32 - 1, "group": 0, "extended": {}}},
        {"attributes": {"owner": 0, "group": -1, "extended": {}}},
        {"attributes": {"owner": 0, "group": 0, "extended": []}},
        {"attributes": {"owner": 0, "group": 0, "extended": {"a\0": ""}}},
    ],
)
def test_values_that_no_file_has_are_refused(change: dict[str, Any]) -> None:
    """chmod(2) and chown(2) would fail in the middle of a revert."""
    record = {"kind": "yum", "before": None, "mode": 420, "written": [], **change}
    with pytest.raises(ValueError, match=r".+"):
        Baseline.from_json({"files": {"/a": record}, "folders": [], "enabled": [], "baked": False})


@pytest.mark.parametrize("unit", ["-x", "a/b.service", "", "/etc/x.service", "--now", None, "a b"])
def test_names_that_are_not_units_are_refused(unit: Any) -> None:
    """systemctl would take them for an option or for a path outside the tree."""
    with pytest.raises(ValueError, match="unit"):
        Baseline.from_json({"files": {}, "folders": [], "enabled": [unit], "baked": False})


def test_a_cleaned_image_keeps_drop_ins_and_what_failed() -> None:
    """The originals of other files must not come back on another instance."""
    drop_in, dnf, environment = Record("drop-in"), Record("yum", b"x"), Record("environment", b"y")
    baseline = Baseline({"/d": drop_in, "/dnf": dnf, "/env": environment})
    assert forget_instance(baseline).files == {"/d": drop_in}
    assert forget_instance(baseline, frozenset(["/dnf"])).files == {"/d": drop_in, "/dnf": dnf}
