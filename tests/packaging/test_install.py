"""`make install`, as a package build or an image build runs it."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The base interpreter of the virtual environment: a node has no virtual environment.
PYTHON = os.path.join(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")


def install(directory):
    """Install below a directory with the command of docs/install.md."""
    command = ["make", "install", f"DESTDIR={directory}", f"PYTHON={PYTHON}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return directory


def contents(directory):
    """Return every path below a directory with its mode and the hash of its bytes."""
    return {
        str(path.relative_to(directory)): (
            path.stat().st_mode,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None,
        )
        for path in sorted(directory.rglob("*"))
    }


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Return an installed tree, for tests that only read it."""
    return install(tmp_path_factory.mktemp("installed") / "tree")


def test_installed_command_runs(tree, tmp_path):
    """The launcher finds its package and libraries, whatever the caller's Python settings are."""
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


def test_layout_is_as_documented(tree):
    """The files of the units, the presets and the documentation exist.

    No file is outside these directories.
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
        "var/lib/node_exporter/textfile_collector",
    ]
    assert [name for name in named if not (tree / name).exists()] == []
    directories = ("etc/eks-proxy-agent", "usr/bin/eks-proxy-agent", "usr/lib/eks-proxy-agent", "usr/lib/systemd/")
    directories += ("usr/share/man/man8/", "usr/share/man/man5/", "usr/share/bash-completion/completions/")
    directories += ("usr/share/zsh/site-functions/_eks-proxy-agent",)
    strays = [name for name in contents(tree) if (tree / name).is_file() and not name.startswith(directories)]
    assert strays == []


def test_every_module_is_compiled(tree):
    """Every .py has its .pyc.

    Otherwise each start would compile for 300 ms, and write files that no package owns.
    """
    library = tree / "usr/lib/eks-proxy-agent"
    tag = sys.implementation.cache_tag
    sources = [path for path in library.rglob("*.py") if path.stem.isidentifier()]
    assert [p for p in sources if not (p.parent / "__pycache__" / f"{p.stem}.{tag}.pyc").exists()] == []


def test_no_file_has_a_path_of_the_build(tree):
    """No file, not even a .pyc, has a path of the source, the tree or a temporary directory."""
    paths = re.compile(b"|".join(re.escape(str(p).encode()) for p in (ROOT, tree, Path("/tmp/pip-"))))
    assert [
        name for name in contents(tree) if (tree / name).is_file() and paths.search((tree / name).read_bytes())
    ] == []


def test_installing_again_gives_the_same_bytes(tree, tmp_path):
    """Two trees have equal names, modes and bytes, even after a second install over one of them."""
    other = install(tmp_path / "other")
    assert contents(other) == contents(tree)
    assert contents(install(other)) == contents(tree)


def test_settings_of_the_operator_are_kept(tmp_path):
    """An existing config.toml is kept."""
    settings = tmp_path / "etc/eks-proxy-agent/config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('[proxy]\nurl = "http://proxy.example.test:3128"\n')
    install(tmp_path)
    assert "proxy.example.test" in settings.read_text()


@pytest.mark.parametrize("python", ["python3.99", "/nowhere/python3"])
def test_absent_python_is_named(tmp_path, python):
    """The error has the value of PYTHON if this machine does not have it; nothing is installed."""
    command = ["make", "install", f"DESTDIR={tmp_path}/tree", f"PYTHON={python}"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"error: PYTHON={python}" in done.stderr
    assert not (tmp_path / "tree").exists()


def test_missing_system_packages_end_the_installation(tmp_path):
    """Without a compiler, nothing is fetched after the message that names the packages."""
    shutil.copytree(ROOT / "packaging", tmp_path / "packaging")
    setup = tmp_path / "packaging/setup.sh"
    setup.write_text("#!/bin/sh\n[ $1 != build ] || { echo missing system packages: gcc; exit 1; }\n")
    environment = {**os.environ, "DESTDIR": f"{tmp_path}/tree", "PYTHON": PYTHON, "XDG_CACHE_HOME": f"{tmp_path}/cache"}
    script = tmp_path / "packaging/install.sh"
    done = subprocess.run([str(script)], env=environment, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "missing system packages: gcc\n")
    assert not (tmp_path / "tree").exists()


def test_the_running_system_takes_a_confirmation():
    """rpm would know nothing of the files: both commands refuse, and change nothing."""
    for target in ("install", "uninstall"):
        for directory in ("", "/"):
            command = ["make", target, f"DESTDIR={directory}", f"PYTHON={PYTHON}"]
            done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
            assert (done.returncode, "error: without DESTDIR" in done.stderr) == (2, True), done


def test_uninstall_leaves_nothing_but_changed_settings(tmp_path):
    """A config.toml of the operator stays, and the directory of the collector, as with rpm -e."""
    tree = install(tmp_path / "tree")
    uninstall = ["make", "uninstall", f"DESTDIR={tree}"]
    subprocess.run(uninstall, cwd=ROOT, check=True, capture_output=True)
    assert [path for path in tree.rglob("*") if path.is_file()] == []
    directory = tree / "var/lib/node_exporter/textfile_collector"
    assert list(directory.iterdir()) == []
    inode = directory.stat().st_ino
    install(tree)
    (directory / "other.prom").touch()
    settings = tree / "etc/eks-proxy-agent/config.toml"
    settings.write_text('[proxy]\nurl = "http://proxy.corp:3128"\n')
    done = subprocess.run(uninstall, cwd=ROOT, check=True, capture_output=True, text=True)
    assert sorted(path for path in tree.rglob("*") if path.is_file()) == [settings, directory / "other.prom"]
    assert directory.stat().st_ino == inode
    assert f"kept: {settings}" in done.stderr
