"""What no package is built from: each error names the thing."""

import pytest

from tests.packaging import rpms

VERSION = "3.11"


@pytest.fixture
def wheels(tmp_path):
    """The locked libraries in a directory of the test's own."""
    return rpms.wheels(tmp_path / "wheels")


def refused(tmp_path, **environment):
    """What `make rpm` says when it fails, having built nothing."""
    done = rpms.make(tmp_path / "dist", check=False, **environment)
    assert done.returncode != 0
    assert list((tmp_path / "dist").glob("*")) == []
    return done.stdout


def test_a_missing_wheel_is_named(tmp_path, wheels):
    """Without PyYAML's wheel the error names pyyaml with its version, the directory and the
    lock.
    """
    next(wheels.glob("pyyaml-*")).unlink()
    said = refused(tmp_path, WHEELS=str(wheels))
    assert "No matching distribution found for pyyaml==6.0.3" in said
    assert f"WHEELS={wheels} does not hold what packaging/locks/python{VERSION}.txt" in said


def test_a_wheel_with_another_hash_is_named(tmp_path, wheels):
    """A wheel that somebody changed is refused by name, with both hashes."""
    wheel = next(wheels.glob("requests-*"))
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    said = refused(tmp_path, WHEELS=str(wheels))
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in said
    assert wheel.name in said
    assert "Expected sha256" in said


def test_an_absent_directory_is_named(tmp_path):
    """A WHEELS that does not exist is said to be none."""
    assert f"WHEELS={tmp_path}/none is not a directory" in refused(tmp_path, WHEELS=f"{tmp_path}/none")


@pytest.mark.parametrize("python", ["python3.99", "3.99", "/nowhere/python3"])
def test_an_absent_python_is_named(tmp_path, python):
    """A Python that this machine has not is named as it was asked for."""
    assert f"error: PYTHON={python}: there is no" in refused(tmp_path, PYTHON=python)


def test_a_python_without_a_lock_is_named(tmp_path):
    """A Python whose libraries nobody has locked is refused, with the way out."""
    python = tmp_path / "python3.7"
    python.write_text("#!/bin/sh\necho 3.7\n")
    python.chmod(0o755)
    said = refused(tmp_path, PYTHON=str(python))
    assert f"PYTHON={python}: the libraries are not locked for Python 3.7" in said
    assert "make lock ARGS=3.7" in said
