"""`make install` as a package build or an image build calls it."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The interpreter below the virtual environment, as a node has one below nothing.
PYTHON = os.path.join(sys.base_prefix, "bin", "python{}.{}".format(*sys.version_info[:2]))


def install(directory):
    """Install below a directory, as the command that docs/install.md names."""
    command = ["make", "install", f"DESTDIR={directory}", f"PYTHON={PYTHON}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return directory


def contents(directory):
    """Every path below a directory with its mode and the hash of its bytes."""
    return {
        str(path.relative_to(directory)): (
            path.stat().st_mode,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None,
        )
        for path in sorted(directory.rglob("*"))
    }


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """One installed tree, for tests that only look."""
    return install(tmp_path_factory.mktemp("installed") / "tree")


def test_the_command_runs_where_it_was_installed(tree, tmp_path):
    """The launcher finds its package and libraries beside itself, whatever the caller's Python
    settings are.
    """
    (tmp_path / "agent.py").write_text("raise SystemExit('the wrong agent')\n")
    command = [
        str(tree / "usr/bin/eks-proxy-agent"),
        "config",
        "check",
        "--root",
        str(tmp_path),
        "--facts",
        "facts.json",
    ]
    (tmp_path / "facts.json").write_text(
        '{"instance_id": "i-0123456789abcdef0", "region": "eu-central-1", "vpc_cidrs_v4": ["10.0.0.0/16"]}'
    )
    environment = dict(os.environ, PYTHONPATH=str(tmp_path), PYTHONHOME="/nonexistent")
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_the_layout_is_the_documented_one(tree):
    """The files that the units, the presets and the documentation name are there, and nothing
    outside these directories.
    """
    named = [
        "usr/bin/eks-proxy-agent",
        "usr/lib/eks-proxy-agent/agent/cli.py",
        "usr/lib/eks-proxy-agent/vendor/requests/__init__.py",
        "usr/lib/eks-proxy-agent/vendor/systemd/daemon.py",
        "usr/lib/systemd/system/eks-proxy-agent.service",
        "usr/lib/systemd/system/eks-proxy-agent-bootstrap.service",
        "usr/lib/systemd/system-preset/90-eks-proxy-agent.preset",
        "etc/eks-proxy-agent/config.toml",
        "etc/eks-proxy-agent/config.d",
    ]
    assert [name for name in named if not (tree / name).exists()] == []
    directories = ("etc/eks-proxy-agent", "usr/bin/eks-proxy-agent", "usr/lib/eks-proxy-agent", "usr/lib/systemd/")
    directories += ("usr/share/man/man8/", "usr/share/man/man5/", "usr/share/bash-completion/completions/")
    strays = [name for name in contents(tree) if (tree / name).is_file() and not name.startswith(directories)]
    assert strays == []


def test_every_module_is_compiled(tree):
    """No .py lacks its .pyc: compiling costs 300 ms at each start, and leaves files behind that no
    package owns.
    """
    library = tree / "usr/lib/eks-proxy-agent"
    tag = sys.implementation.cache_tag
    sources = [path for path in library.rglob("*.py") if path.stem.isidentifier()]
    assert [p for p in sources if not (p.parent / "__pycache__" / f"{p.stem}.{tag}.pyc").exists()] == []


def test_no_file_knows_where_it_was_built(tree):
    """No file holds the path of the source, of the tree or of a temporary directory, compiled ones
    included.
    """
    places = re.compile(b"|".join(re.escape(str(p).encode()) for p in (ROOT, tree, Path("/tmp/pip-"))))
    assert [
        name for name in contents(tree) if (tree / name).is_file() and places.search((tree / name).read_bytes())
    ] == []


def test_installing_again_gives_the_same_bytes(tree, tmp_path):
    """Two trees are equal in names, modes and bytes, and so is one over which it was installed
    twice.
    """
    other = install(tmp_path / "other")
    assert contents(other) == contents(tree)
    assert contents(install(other)) == contents(tree)


def test_the_owners_settings_survive(tmp_path):
    """A config.toml that is there already is kept."""
    settings = tmp_path / "etc/eks-proxy-agent/config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('[proxy]\nurl = "http://proxy.example.test:3128"\n')
    install(tmp_path)
    assert "proxy.example.test" in settings.read_text()


@pytest.mark.parametrize("python", ["python3.99", "/nowhere/python3"])
def test_an_absent_python_is_named(tmp_path, python):
    """A Python that this machine has not is named as it was asked for, and nothing is installed."""
    command = ["make", "install", f"DESTDIR={tmp_path}/tree", f"PYTHON={python}"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"error: PYTHON={python}" in done.stderr
    assert not (tmp_path / "tree").exists()
