"""The disk of the machine, with a real client of its protocol: qemu-io."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.powercut.disk import SECTOR, Disk

SIZE = 1 << 20
FLUSHED, CACHED = 4096, 65536  # offsets; 16 sectors each


@pytest.fixture(autouse=True)
def client() -> None:
    """Skip without qemu-io; with CI=true that is a failure."""
    if shutil.which("qemu-io") is None:
        notice = "not installed: qemu-io (packages: tests/powercut/packages.txt)"
        pytest.fail(notice, pytrace=False) if os.environ.get("CI") == "true" else pytest.skip(notice)


def session(directory: Path, seed: int) -> tuple[bytes, Disk]:
    """Write and flush, write again, and cut the power; return the content of the disk."""
    image, address = directory / "image", directory / "socket"
    image.write_bytes(bytes(SIZE))
    disk = Disk(image, address, random.Random(seed))
    steps = [f"write -P 1 {FLUSHED} 8k", "flush", f"write -P 2 {CACHED} 8k", f"read -P 2 {CACHED} 8k", "abort"]
    # Without stdbuf(1) its abort loses the output.
    command = [
        "stdbuf",
        "-oL",
        "qemu-io",
        "-t",
        "writeback",
        "-f",
        "raw",
        *(part for step in steps for part in ("-c", step)),
    ]
    done = subprocess.run([*command, f"nbd+unix:///?socket={address}"], check=False, capture_output=True, text=True)
    assert "read 8192/8192" in done.stdout, done.stdout + done.stderr
    disk.cut()
    disk.close()
    return image.read_bytes(), disk


@pytest.mark.parametrize("seed", range(8))
def test_what_was_flushed_survives_a_cut(tmp_path: Path, seed: int) -> None:
    """What was cached is lost, or arrives in part; each sector is old or new."""
    content, disk = session(tmp_path, seed)
    assert content[FLUSHED : FLUSHED + 8192] == b"\1" * 8192
    sectors = {content[offset : offset + SECTOR] for offset in range(CACHED, CACHED + 8192, SECTOR)}
    assert sectors <= {bytes(SECTOR), b"\2" * SECTOR}
    assert disk.loss is not None
    assert (disk.loss.writes, disk.loss.flushes, disk.loss.cached) == (2, 1, 1)


def test_a_cut_loses_keeps_or_tears_what_was_cached(tmp_path: Path) -> None:
    """Over some seeds each fate of a write occurs."""
    fates = {(loss.kept, loss.torn) for seed in range(60) if (loss := session(tmp_path, seed)[1].loss)}
    assert fates == {(0, 0), (1, 0), (1, 1)}
