"""Inputs that fail the build of a package: each error names its cause."""

import pytest

from tests.packaging import rpms

VERSION = "3.11"


@pytest.fixture
def wheels(tmp_path):
    """Copy the locked libraries to a directory of the test."""
    return rpms.wheels(tmp_path / "wheels")


def failed(tmp_path, **environment):
    """Return the output of `make rpm`, which fails and builds nothing."""
    done = rpms.make(tmp_path / "dist", check=False, **environment)
    assert done.returncode != 0
    assert list((tmp_path / "dist").glob("*")) == []
    return done.stdout


def test_missing_wheel_is_named(tmp_path, wheels):
    """Without PyYAML's wheel the error names its version, the directory and the lock."""
    next(wheels.glob("pyyaml-*")).unlink()
    output = failed(tmp_path, WHEELS=str(wheels))
    assert "No matching distribution found for pyyaml==6.0.3" in output
    assert f"WHEELS={wheels}: files of packaging/locks/python{VERSION}.txt" in output


def test_wheel_with_another_hash_is_named(tmp_path, wheels):
    """A changed wheel is rejected by name, with both hashes."""
    wheel = next(wheels.glob("requests-*"))
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    output = failed(tmp_path, WHEELS=str(wheels))
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in output
    assert wheel.name in output
    assert "Expected sha256" in output


def test_absent_directory_is_named(tmp_path):
    """A WHEELS that does not exist is not a directory."""
    assert f"WHEELS={tmp_path}/none: not a directory" in failed(tmp_path, WHEELS=f"{tmp_path}/none")


@pytest.mark.parametrize("python", ["python3.99", "3.99", "/nowhere/python3"])
def test_absent_python_is_named(tmp_path, python):
    """The error has the value of PYTHON if this machine does not have it."""
    output = failed(tmp_path, PYTHON=python)
    assert f"error: PYTHON={python}: no " in output
    assert ("install it with pyenv (docs/install.md)" in output) == (python == "3.99")


def test_python_without_a_lock_is_named(tmp_path):
    """A Python whose libraries are not locked is rejected, with the command that locks them."""
    python = tmp_path / "python3.7"
    python.write_text("#!/bin/sh\necho 3.7\n")
    python.chmod(0o755)
    output = failed(tmp_path, PYTHON=str(python))
    assert f"PYTHON={python}: the libraries are not locked for Python 3.7" in output
    assert "make lock ARGS=3.7" in output
