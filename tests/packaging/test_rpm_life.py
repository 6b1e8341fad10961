"""The package on a root with an rpm database: installed, upgraded, downgraded, erased; scriptlets
run inside.
"""

import json
import re

import pytest

from tests.packaging import rpms

pytestmark = pytest.mark.needs_root("rpm installs into a root")

NAME = "eks-proxy-agent"
SETTINGS = "etc/eks-proxy-agent/config.toml"
DROP_IN = "etc/systemd/system/docker.service.d/90-eks-proxy.conf"
GATE = "etc/systemd/system/docker.service.d/91-eks-proxy-closed.conf"
CLOSED = '[proxy]\nurl = "http://proxy.example.test:3128"\n[failure]\npolicy = "closed"\n'


@pytest.fixture
def root():
    """A root without the package."""
    with rpms.root() as made:
        made.write("facts.json", rpms.FACTS)
        yield made


def install(root):
    """Install the package; dependencies are checked."""
    root.rpm("-i", rpms.built())


def erase(root):
    """Erase the package; what scriptlets said."""
    return root.rpm("-e", NAME)


def difference(before, after):
    """The paths that are in one only, or not the same in both."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def configure(root, settings=CLOSED):
    """Write settings as the owner does, and configure the node."""
    root.write("etc/eks-proxy-agent/config.d/50-owner.toml", settings)
    root.run(NAME, "apply", "--facts", "/facts.json")
    assert (root.path / DROP_IN).exists()


def test_an_erased_package_leaves_nothing(root):
    """After install, bake, use and erase every path is as it was, in kind, mode and content."""
    before = root.contents()
    install(root)
    assert root.rpm("-V", NAME) == ""
    root.run(NAME, "apply", "--facts", "/facts.json", "--proxy", "http://proxy.example.test:3128")
    root.run(NAME, "bake")
    assert (root.path / DROP_IN).exists()
    assert root.rpm("-V", NAME) == ""
    erase(root)
    assert difference(before, root.contents()) == []


def test_installing_enables_the_units_and_starts_and_writes_nothing(root):
    """An image build that installs the package has two enabled units more, and no settings of the
    builder.
    """
    before = root.contents()
    install(root)
    owned = {path.lstrip("/") for path in root.rpm("-ql", NAME).splitlines()}
    units = ("eks-proxy-agent", "eks-proxy-agent-bootstrap")
    enabled = [f"etc/systemd/system/multi-user.target.wants/{unit}.service" for unit in units]
    assert [path for path in difference(before, root.contents()) if path not in owned] == sorted(enabled)


def test_running_the_installed_command_writes_no_byte_code(root):
    """The private directory is the same after the commands have been used."""
    install(root)
    before = root.contents()
    root.run(NAME, "status")
    root.run(NAME, "demo")
    assert [path for path in difference(before, root.contents()) if not path.startswith("tmp")] == []


def test_edited_settings_survive_upgrade_and_downgrade(root):
    """The owner's config.toml stays, the new default comes as .rpmnew, the node's files are not
    touched.
    """
    install(root)
    url = 'url = "http://proxy.example.test:3128"'
    edited = (root.path / SETTINGS).read_text().replace("[proxy]\n", f"[proxy]\n{url}\n")
    root.write(SETTINGS, edited)
    root.run(NAME, "apply", "--facts", "/facts.json")
    node = {path: what for path, what in root.contents().items() if path.startswith(("etc/", "var/lib/eks"))}

    root.rpm("-U", rpms.next_version())
    assert root.run(NAME, "--version").startswith("eks-proxy-agent 99.")
    assert (root.path / SETTINGS).read_text() == edited
    assert "Something new" in (root.path / f"{SETTINGS}.rpmnew").read_text()
    after = {path: what for path, what in root.contents().items() if path.startswith(("etc/", "var/lib/eks"))}
    assert difference(node, after) == [f"{SETTINGS}.rpmnew"]
    assert re.fullmatch(rf"S\.5[.T]+\s+c /{SETTINGS}\n", root.rpm("-V", NAME, check=False))

    root.rpm("-U", "--oldpackage", rpms.built())
    assert not root.run(NAME, "--version").startswith("eks-proxy-agent 99.")
    assert (root.path / SETTINGS).read_text() == edited
    erase(root)
    assert (root.path / f"{SETTINGS}.rpmsave").read_text() == edited
    assert not (root.path / DROP_IN).exists()


def test_upgrade_leaves_files_of_the_new_version_only(root):
    """An upgraded root is the same as one into which the new version was installed."""
    install(root)
    root.rpm("-U", rpms.next_version())
    upgraded = root.contents()
    erase(root)
    root.rpm("-i", rpms.next_version())
    assert difference(upgraded, root.contents()) == []


def test_an_erased_node_of_policy_closed_can_start_docker(root):
    """The drop-ins that hold docker back go with the package; what the owner wrote into config.d
    stays.
    """
    before = root.contents()
    install(root)
    configure(root)
    assert (root.path / GATE).exists()
    erase(root)
    assert difference(before, root.contents()) == [
        "etc/eks-proxy-agent",
        "etc/eks-proxy-agent/config.d",
        "etc/eks-proxy-agent/config.d/50-owner.toml",
    ]


def test_policy_closed_survives_bake_and_upgrade(root):
    """The drop-ins that hold docker back are baked, and an upgrade leaves them alone."""
    install(root)
    root.write("etc/eks-proxy-agent/config.d/50-owner.toml", CLOSED)
    root.run(NAME, "bake")
    baked = (root.path / GATE).read_text()
    root.rpm("-U", rpms.next_version())
    assert (root.path / GATE).read_text() == baked


def test_that_bootstrap_ran_is_remembered_after_erase(root):
    """The one thing of ours that stays: a package that is installed again must not bootstrap the
    instance again.
    """
    before = root.contents()
    install(root)
    configure(root)
    (root.path / "etc/eks-proxy-agent/config.d/50-owner.toml").unlink()
    note = "var/lib/eks-proxy-agent/instances/i-0123456789abcdef0/bootstrap.json"
    root.write(note, json.dumps({"exit_code": 0, "signalled": True}))
    erase(root)
    new = [path for path in difference(before, root.contents()) if (root.path / path).is_file()]
    assert new == [note]


def test_a_package_that_cannot_be_reverted_stays(root):
    """When the files cannot be put back, erasing fails, says why, leaves the units enabled, and can
    be tried again.
    """
    before = root.contents()
    install(root)
    configure(root)
    baseline = root.path / "var/lib/eks-proxy-agent/baseline.json"
    good = baseline.read_bytes()
    baseline.write_text("garbage")
    said = root.rpm("-e", NAME, check=False)
    assert "baseline.json: corrupt, or written by another version" in said
    assert "stays installed" in said
    assert root.rpm("-q", NAME).startswith(NAME)
    assert (root.path / GATE).exists()
    wanted = {path.name for path in (root.path / "etc/systemd/system/multi-user.target.wants").iterdir()}
    assert wanted >= {f"{NAME}.service", f"{NAME}-bootstrap.service"}, "docker would wait for ever at the next boot"
    baseline.write_bytes(good)
    erase(root)
    assert all(path.startswith("etc/eks-proxy-agent") for path in difference(before, root.contents()))


def test_hostile_packages_are_not_imported(root):
    """Packages named like ours and our libraries do nothing, be they in the directory, PYTHONPATH
    or site-packages.
    """
    install(root)
    places = ("hostile", "usr/lib/python3/dist-packages", "root/.local/lib/python3.11/site-packages")
    places += ("usr/local/lib/python3.11/dist-packages",)
    for place in places:
        for name in ("agent", "requests", "yaml", "structlog", "attrs", "attr", "tenacity", "systemd", "urllib3"):
            for module in ("__init__", "daemon", "cli"):
                root.write(f"{place}/{name}/{module}.py", "raise SystemExit('hostile')\n")
    hostile = {
        "PYTHONPATH": "/hostile",
        "PYTHONHOME": "/hostile",
        "PYTHONSTARTUP": "/hostile/agent/cli.py",
        "HOME": "/root",
    }
    assert "hostile" not in root.run(NAME, "demo", cwd="/hostile", **hostile)
    code = "import sys; sys.path[:0] = [p for p in {}]; from systemd import daemon; print(daemon.__file__)"
    directory = "/usr/lib/eks-proxy-agent"
    said = root.run(
        rpms.GUEST_PYTHON, "-I", "-c", code.format([directory, f"{directory}/vendor"]), cwd="/hostile", **hostile
    )
    assert said == f"{directory}/vendor/systemd/daemon.py\n"


def test_what_the_package_requires_is_checked(root):
    """Without the system's packages rpm refuses to install, and names Python and systemd."""
    root.rpm("-e", "--justdb", "--nodeps", "system")
    said = root.rpm("-i", rpms.built(), check=False)
    for name in ("python(abi) = 3.11", "systemd", "/bin/sh", "libsystemd.so.0()(64bit)"):
        assert f"{name} is needed by {NAME}" in said
