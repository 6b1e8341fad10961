"""The package installed, upgraded, downgraded and erased on a root with an rpm database.

Scriptlets run inside the root.
"""

import json
import os
import re
import stat

import pytest

from tests.integration.scratch import rename_to_former
from tests.packaging import rpms

pytestmark = pytest.mark.needs_root("rpm installs into a root")

NAME = "eks-proxy-agent"
SETTINGS = "etc/eks-proxy-agent/config.toml"
#: Created by the package and owned by no package, so it stays.
COLLECTOR = ["var/lib/node_exporter", "var/lib/node_exporter/textfile_collector"]
DROP_IN = "etc/systemd/system/docker.service.d/zz-eks-proxy.conf"
GATE = "etc/systemd/system/docker.service.d/91-eks-proxy-closed.conf"
CLOSED = '[proxy]\nurl = "http://proxy.example.test:3128"\n[failure]\npolicy = "closed"\n'


@pytest.fixture
def root():
    """Make a root without the package."""
    with rpms.root() as root:
        root.write("facts.json", rpms.FACTS)
        yield root


def install(root):
    """Install the package with its dependencies checked."""
    root.rpm("-i", rpms.built())


def erase(root):
    """Erase the package, and return the output of its scriptlets."""
    return root.rpm("-e", NAME)


def difference(before, after):
    """Return the paths that are only in one, or differ."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def configure(root, settings=CLOSED):
    """Write settings as an operator does, and configure the node."""
    root.write("etc/eks-proxy-agent/config.d/50-operator.toml", settings)
    root.run(NAME, "apply", "--facts", "/facts.json")
    assert (root.path / DROP_IN).exists()


@pytest.mark.parametrize("is_upgraded", [False, True], ids=["new", "upgraded"])
def test_erased_package_leaves_only_the_collector_s_directory(root, is_upgraded):
    """After install, use, bake and erase, every path has its original type, mode and content.

    That holds right after an upgrade too, while the drop-ins still have their former name.  The
    directory of the collector stays, and is empty.
    """
    before = root.contents()
    install(root)
    assert root.rpm("-V", NAME) == ""
    root.run(NAME, "apply", "--facts", "/facts.json", "--proxy", "http://proxy.example.test:3128")
    root.run(NAME, "bake")
    assert (root.path / DROP_IN).exists()
    assert root.rpm("-V", NAME) == ""
    if is_upgraded:
        rename_to_former(root.path)
    erase(root)
    assert difference(before, root.contents()) == COLLECTOR
    assert list((root.path / COLLECTOR[-1]).iterdir()) == []


def test_install_only_enables_the_units(root):
    """Installing in an image build enables two units and makes the collector's directory.

    It starts nothing and writes nothing else.
    """
    before = root.contents()
    install(root)
    owned = {path.lstrip("/") for path in root.rpm("-ql", NAME).splitlines()}
    units = ("eks-proxy-agent", "eks-proxy-agent-bootstrap")
    enabled = [f"etc/systemd/system/multi-user.target.wants/{unit}.service" for unit in units]
    assert [path for path in difference(before, root.contents()) if path not in owned] == sorted(enabled + COLLECTOR)


def test_the_directory_of_the_collector_is_made_if_it_is_absent(root):
    """It has mode 0755, and no package owns it."""
    install(root)
    directory = root.path / COLLECTOR[-1]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o755
    assert {f"/{path}" for path in COLLECTOR} & set(root.rpm("-qal").splitlines()) == set()


@pytest.mark.parametrize("is_empty", [False, True], ids=["with a file", "empty"])
def test_an_existing_directory_of_the_collector_survives_the_package(root, is_empty):
    """It keeps its owner, its mode and its files.

    It also keeps its inode, which a container with a hostPath has mounted, if the agent was the
    only one that wrote to it.
    """
    directory = root.path / COLLECTOR[-1]
    directory.mkdir(parents=True)
    if not is_empty:
        (directory / "theirs.prom").touch()
    os.chown(directory, 65534, 65534)
    directory.chmod(0o2775)
    before, inode = root.contents(), directory.stat().st_ino
    install(root)
    root.rpm("-U", rpms.next_version())
    assert (directory.stat().st_uid, stat.S_IMODE(directory.stat().st_mode)) == (65534, 0o2775)
    assert root.rpm("-V", NAME) == ""
    erase(root)
    assert difference(before, root.contents()) == []
    assert directory.stat().st_ino == inode


def test_installed_command_writes_no_byte_code(root):
    """The private directory is unchanged after the commands have run."""
    install(root)
    before = root.contents()
    root.run(NAME, "status")
    root.run(NAME, "demo")
    assert [path for path in difference(before, root.contents()) if not path.startswith("tmp")] == []


def test_edited_settings_survive_upgrade_and_downgrade(root):
    """An edited config.toml stays, and the new default becomes .rpmnew.

    The files of the node are not changed.
    """
    install(root)
    url = 'url = "http://proxy.example.test:3128"'
    edited = (root.path / SETTINGS).read_text().replace("[proxy]\n", f"[proxy]\n{url}\n")
    root.write(SETTINGS, edited)
    root.run(NAME, "apply", "--facts", "/facts.json")
    node = {path: entry for path, entry in root.contents().items() if path.startswith(("etc/", "var/lib/eks"))}

    root.rpm("-U", rpms.next_version())
    assert root.run(NAME, "--version").startswith("eks-proxy-agent 99.")
    assert (root.path / SETTINGS).read_text() == edited
    assert "Something new" in (root.path / f"{SETTINGS}.rpmnew").read_text()
    after = {path: entry for path, entry in root.contents().items() if path.startswith(("etc/", "var/lib/eks"))}
    assert difference(node, after) == [f"{SETTINGS}.rpmnew"]
    assert re.fullmatch(rf"S\.5[.T]+\s+c /{SETTINGS}\n", root.rpm("-V", NAME, check=False))

    root.rpm("-U", "--oldpackage", rpms.built())
    assert not root.run(NAME, "--version").startswith("eks-proxy-agent 99.")
    assert (root.path / SETTINGS).read_text() == edited
    erase(root)
    assert (root.path / f"{SETTINGS}.rpmsave").read_text() == edited
    assert not (root.path / DROP_IN).exists()


def test_upgrade_leaves_files_of_the_new_version_only(root):
    """An upgraded root is equal to one with a new installation of that version."""
    install(root)
    root.rpm("-U", rpms.next_version())
    upgraded = root.contents()
    erase(root)
    root.rpm("-i", rpms.next_version())
    assert difference(upgraded, root.contents()) == []


def test_docker_can_start_after_erase_with_policy_closed(root):
    """The gates are removed with the package; the operator's file in config.d stays."""
    before = root.contents()
    install(root)
    configure(root)
    assert (root.path / GATE).exists()
    erase(root)
    assert difference(before, root.contents()) == [
        "etc/eks-proxy-agent",
        "etc/eks-proxy-agent/config.d",
        "etc/eks-proxy-agent/config.d/50-operator.toml",
        *COLLECTOR,
    ]


def test_policy_closed_survives_bake_and_upgrade(root):
    """The gates are baked, and an upgrade does not change them."""
    install(root)
    root.write("etc/eks-proxy-agent/config.d/50-operator.toml", CLOSED)
    root.run(NAME, "bake")
    baked = (root.path / GATE).read_text()
    root.rpm("-U", rpms.next_version())
    assert (root.path / GATE).read_text() == baked


def test_bootstrap_record_survives_erase(root):
    """Only bootstrap.json stays: a reinstalled package must not bootstrap the instance again."""
    before = root.contents()
    install(root)
    configure(root)
    (root.path / "etc/eks-proxy-agent/config.d/50-operator.toml").unlink()
    record = "var/lib/eks-proxy-agent/instances/i-0123456789abcdef0/bootstrap.json"
    root.write(record, json.dumps({"exit_code": 0, "signalled": True}))
    erase(root)
    new = [path for path in difference(before, root.contents()) if (root.path / path).is_file()]
    assert new == [record]


def test_erase_fails_if_revert_fails(root):
    """If revert fails, erasing fails with the reason; the units stay enabled, and a retry works."""
    before = root.contents()
    install(root)
    configure(root)
    baseline = root.path / "var/lib/eks-proxy-agent/baseline.json"
    good = baseline.read_bytes()
    baseline.write_text("garbage")
    output = root.rpm("-e", NAME, check=False)
    assert "baseline.json: corrupt, or written by another version" in output
    assert "stays installed" in output
    assert root.rpm("-q", NAME).startswith(NAME)
    assert (root.path / GATE).exists()
    enabled = {path.name for path in (root.path / "etc/systemd/system/multi-user.target.wants").iterdir()}
    assert enabled >= {f"{NAME}.service", f"{NAME}-bootstrap.service"}, "docker would wait forever at the next boot"
    baseline.write_bytes(good)
    erase(root)
    assert all(path.startswith(("etc/eks-proxy-agent", COLLECTOR[0])) for path in difference(before, root.contents()))


def test_hostile_packages_are_not_imported(root):
    """Packages with the names of ours or of our libraries are never imported.

    They are in the working directory, in PYTHONPATH and in site-packages.
    """
    install(root)
    directories = ("hostile", "usr/lib/python3/dist-packages", "root/.local/lib/python3.11/site-packages")
    directories += ("usr/local/lib/python3.11/dist-packages",)
    for parent in directories:
        for name in ("agent", "requests", "yaml", "structlog", "tenacity", "systemd", "urllib3"):
            for module in ("__init__", "daemon", "cli"):
                root.write(f"{parent}/{name}/{module}.py", "raise SystemExit('hostile')\n")
    hostile = {
        "PYTHONPATH": "/hostile",
        "PYTHONHOME": "/hostile",
        "PYTHONSTARTUP": "/hostile/agent/cli.py",
        "HOME": "/root",
    }
    assert "hostile" not in root.run(NAME, "demo", cwd="/hostile", **hostile)
    library = "/usr/lib/eks-proxy-agent"
    path = [library, f"{library}/vendor"]
    code = f"import sys; sys.path[:0] = {path}; from systemd import daemon; print(daemon.__file__)"
    output = root.run(rpms.GUEST_PYTHON, "-I", "-c", code, cwd="/hostile", **hostile)
    assert output == f"{library}/vendor/systemd/daemon.py\n"


def test_requirements_of_the_package_are_checked(root):
    """Without the system's packages rpm does not install it, and names Python and systemd."""
    root.rpm("-e", "--justdb", "--nodeps", "system")
    output = root.rpm("-i", rpms.built(), check=False)
    for name in ("python(abi) = 3.11", "systemd", "/bin/sh", "libsystemd.so.0()(64bit)"):
        assert f"{name} is needed by {NAME}" in output
