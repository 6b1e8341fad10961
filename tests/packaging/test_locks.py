"""The locks match packaging/requirements*.txt, with hashes."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PACKAGING = Path(__file__).parents[2] / "packaging"
VERSIONS = ["3.9", "3.11", "3.12"]
SHIPPED = ["requirements.txt", "requirements-systemd.txt"]


def required(version, names):
    """Return NAME==VERSION of each requirement whose marker is true for a Python version."""
    lines = [line for name in names for line in (PACKAGING / name).read_text().splitlines()]
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    environment = {"python_version": version, "python_full_version": f"{version}.0"}
    active = [item for item in requirements if item.marker is None or item.marker.evaluate(environment)]
    return {re.sub("[-_.]+", "-", item.name).lower() + str(item.specifier) for item in active}


def locked(name):
    """Return NAME==VERSION of each requirement of a lock, with its hashes."""
    blocks = re.split(r"\n(?=\S)", (PACKAGING / "locks" / name).read_text())
    matches = [re.match(r"([a-z0-9-]+==\S+)", block) for block in blocks]
    return {match[1]: re.findall(r"--hash=sha256:([0-9a-f]{64})\b", match.string) for match in matches if match}


@pytest.mark.parametrize("version", VERSIONS)
def test_lock_has_the_pinned_requirements(version):
    """The lock of a Python has exactly the requirements for that Python; `make lock` updates it."""
    assert set(locked(f"python{version}.txt")) == required(version, SHIPPED)
    assert set(locked(f"python{version}-build.txt")) == required(version, ["requirements-build.txt"])


@pytest.mark.parametrize("version", VERSIONS)
def test_every_locked_library_has_hashes(version):
    """Every library has a hash; pip rejects a file without a matching one."""
    assert [name for name, hashes in locked(f"python{version}.txt").items() if not hashes] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_lock_has_no_urls_or_options(version):
    """A lock has no URL of an index, and no path of the machine that made it."""
    for name in (f"python{version}.txt", f"python{version}-build.txt"):
        text = (PACKAGING / "locks" / name).read_text()
        assert [line for line in text.splitlines() if "://" in line or line.startswith("-")] == []
