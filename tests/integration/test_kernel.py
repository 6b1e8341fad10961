"""Modes of the running kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.edges import kernel


@pytest.mark.parametrize(
    ("content", "fips"), [("1\n", True), ("0\n", False), ("", False), ("11\n", False), (None, False)]
)
def test_fips_mode(content: str | None, fips: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has 1; a kernel without FIPS support has no such file."""
    if content is not None:
        (tmp_path / "fips_enabled").write_text(content)
    monkeypatch.setattr(kernel, "FIPS", str(tmp_path / "fips_enabled"))
    assert kernel.is_fips() is fips
