"""The units together with those of EKS nodes: no ordering cycle, no unknown key."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
UNITS = ("eks-proxy-agent.service", "eks-proxy-agent-bootstrap.service")
NODES = {
    "AL2023": ["al2023"],
    # Since 24.3, the stage cloud-init.service is called cloud-init-network.service.
    "AL2023, cloud-init 24": ["al2023", "cloud-init-24"],
    "EL, docker": ["el"],
    "EL, containerd": ["el", "el-containerd"],
}

# systemd's own, which are the same in every distribution.
TARGETS = "basic sysinit multi-user sockets timers paths slices network network-pre network-online".split()
TARGETS += "local-fs local-fs-pre swap shutdown umount remote-fs".split()
PROGRAMS = ("true", "kill", "eks-proxy-agent")
SYSTEM = Path("usr/lib/systemd/system")


def make_node(directory, trees):
    """Make a root with these trees, systemd's targets and our units, all enabled."""
    for tree in trees:
        shutil.copytree(HERE / "unit-trees" / tree, directory, dirs_exist_ok=True)
    for target in TARGETS:
        shutil.copy(Path("/") / SYSTEM / f"{target}.target", directory / SYSTEM)
    for unit in UNITS:
        shutil.copy(ROOT / "systemd" / unit, directory / SYSTEM)
    (directory / "usr/bin").mkdir()
    (directory / "bin").symlink_to("usr/bin")
    for program in PROGRAMS:
        (directory / "usr/bin" / program).write_text("#!/bin/sh\n")
        (directory / "usr/bin" / program).chmod(0o755)
    presets = directory / "usr/lib/systemd/system-preset"
    presets.mkdir()
    shutil.copy(ROOT / "packaging/90-eks-proxy-agent.preset", presets)
    others = sorted(path.name for path in (directory / SYSTEM).iterdir() if "[Install]" in path.read_text())
    systemctl(directory, "enable", *(name for name in others if name not in UNITS and not name.endswith(".target")))
    systemctl(directory, "enable", "cloud-init.target")
    systemctl(directory, "preset", *UNITS)
    return directory


def systemctl(directory, *arguments):
    """Run systemctl on a root, which requires no running systemd."""
    subprocess.run(["systemctl", f"--root={directory}", *arguments], check=True, capture_output=True, text=True)


def verify(directory, *arguments):
    """Run systemd-analyze verify on a root."""
    command = ["systemd-analyze", f"--root={directory}", "--man=no", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def cycles(directory):
    """Return the lines that name an ordering cycle of the whole boot; the exit code is 0 anyway."""
    done = verify(directory, "verify", "multi-user.target")
    return [line for line in done.stderr.splitlines() if "ordering cycle" in line]


def complaints(directory):
    """Return systemd's errors in our units.

    With this option systemd-analyze fails on an error, and ignores dependencies.
    """
    done = verify(directory, "--recursive-errors=no", "verify", *UNITS)
    return done.stderr + ("" if done.returncode == 0 else f"exit code {done.returncode}")


def add_line(directory, unit, line):
    """Add a line to the [Unit] section of one of our units."""
    path = directory / SYSTEM / unit
    path.write_text(path.read_text().replace("[Unit]\n", f"[Unit]\n{line}\n", 1))


@pytest.fixture(params=list(NODES))
def node(request, tmp_path):
    """Make the units of one kind of node, with ours."""
    return make_node(tmp_path / "node", NODES[request.param])


def test_no_ordering_cycle(node):
    """systemd finds an order for the whole boot, including our units."""
    assert cycles(node) == []


def test_no_unknown_key(node):
    """systemd knows every key, and finds every program, of our units."""
    assert complaints(node) == ""


#: Exposure of the agent's sandbox times ten, as systemd-analyze takes it.
EXPOSURE = 27


def security(path, *arguments):
    """Run systemd-analyze security on a unit file."""
    command = ["systemd-analyze", "security", "--offline=yes", *arguments, path]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_the_sandbox_keeps_its_exposure():
    """The agent's unit is rated 2.7, no better and no worse: a change has to change this number."""
    path = ROOT / "systemd/eks-proxy-agent.service"
    assert security(path, f"--threshold={EXPOSURE}").returncode == 0
    assert security(path, f"--threshold={EXPOSURE - 1}").returncode == 1


def test_each_open_door_has_its_reason():
    """What systemd-analyze calls exposed is named in the unit file, whose comments explain it."""
    path = ROOT / "systemd/eks-proxy-agent.service"
    rows = json.loads(security(path, "--json=short").stdout)
    exposed = {row["name"].partition("=")[0] for row in rows if float(row["exposure"] or 0)}
    assert "PrivateNetwork" in exposed
    assert [name for name in sorted(exposed) if f"{name}=" not in path.read_text()] == []


def test_a_system_call_more_is_noticed(tmp_path):
    """Without the filter of system calls, the exposure is above the limit."""
    path = tmp_path / "eks-proxy-agent.service"
    lines = (ROOT / "systemd/eks-proxy-agent.service").read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("SystemCallFilter=")))
    assert security(path, f"--threshold={EXPOSURE}").returncode == 1


def test_no_core_dump_holds_the_password():
    """Neither the agent nor bootstrap.sh, which has the password, leaves a core dump."""
    for unit in UNITS:
        assert "\nLimitCORE=0\n" in (ROOT / "systemd" / unit).read_text()


def waiting_for_agent(directory):
    """Return the units that start after the agent, directly or through others."""
    later = {}
    for path in (directory / SYSTEM).iterdir():
        for line in path.read_text().splitlines():
            key, _, names = line.partition("=")
            for name in names.split():
                if key == "Before":
                    later.setdefault(path.name, set()).add(name)
                elif key == "After":
                    later.setdefault(name, set()).add(path.name)
    waiting, new = set(), {"eks-proxy-agent.service"}
    while new:
        waiting |= new
        new = set().union(*(later.get(name, set()) for name in new)) - waiting
    return waiting


def test_network_does_not_wait_for_the_agent(node):
    """The agent waits for the metadata service, so nothing before the network may wait for it."""
    waiting = waiting_for_agent(node)
    assert waiting >= {"docker.service", "cloud-init.service", "eks-proxy-agent-bootstrap.service"}
    assert waiting.isdisjoint({"network-pre.target", "network.target", "systemd-networkd.service", "sysinit.target"})


def test_network_that_waits_for_the_agent_is_detected(tmp_path):
    """From cloud-init 24.3 on, cloud-init-main.service precedes the network."""
    node = make_node(tmp_path / "node", NODES["AL2023, cloud-init 24"])
    add_line(node, "eks-proxy-agent.service", "Before=cloud-init-main.service")
    assert "network-pre.target" in waiting_for_agent(node)


def test_bootstrap_waits_for_the_stage_that_runs_boothooks():
    """That is cloud-init.service, or cloud-init-network.service from cloud-init 24.3 on."""
    lines = (ROOT / "systemd" / "eks-proxy-agent-bootstrap.service").read_text().splitlines()
    assert {"After=cloud-init.service", "After=cloud-init-network.service"} <= set(lines)
    assert not [line for line in lines if line.startswith("After=cloud-final")]


def test_multi_user_target_does_not_wait_for_bootstrap(node):
    """The unit may wait for kubelet, which a newer cloud-init starts after that target.

    With the default dependencies that would be a cycle.
    """
    late = "[Unit]\nAfter=multi-user.target\n[Service]\nExecStart=/usr/bin/true\n"
    (node / SYSTEM / "late.service").write_text(late)
    for line in ("Wants=late.service", "After=late.service"):
        add_line(node, "eks-proxy-agent-bootstrap.service", line)
    assert cycles(node) == []
    unit = node / SYSTEM / "eks-proxy-agent-bootstrap.service"
    unit.write_text(unit.read_text().replace("DefaultDependencies=no\n", ""))
    assert cycles(node)


def test_preset_enables_both_units(node):
    """The preset alone, as on the first boot of an image, enables both units."""
    enabled = {path.name for path in (node / "etc/systemd/system/multi-user.target.wants").iterdir()}
    assert enabled >= set(UNITS)


@pytest.mark.parametrize(
    ("unit", "line"),
    [
        ("eks-proxy-agent.service", "After=network-online.target"),
        ("eks-proxy-agent.service", "Before=docker.socket"),
        ("eks-proxy-agent-bootstrap.service", "Before=cloud-init.service"),
    ],
)
def test_ordering_cycle_is_detected(node, unit, line):
    """A line that causes a cycle is an error, so the tests above can fail."""
    add_line(node, unit, line)
    assert cycles(node)


def test_unknown_key_is_detected(node):
    """A misspelt key is an error."""
    add_line(node, "eks-proxy-agent.service", "Befor=docker.service")
    assert "Befor" in complaints(node)


def test_missing_program_is_detected(node):
    """A program that the package does not install is an error."""
    (node / "usr/bin/eks-proxy-agent").unlink()
    assert "eks-proxy-agent" in complaints(node)


def test_bootstrap_is_not_ordered_against_the_units_that_it_starts():
    """bootstrap.sh waits for kubelet and docker, so its unit has no order relative to them."""
    text = (ROOT / "systemd" / "eks-proxy-agent-bootstrap.service").read_text()
    ordered = " ".join(line for line in text.splitlines() if line.startswith(("Before=", "After=", "Requires=")))
    assert [name for name in ("docker", "containerd", "kubelet", "cloud-final", "multi-user") if name in ordered] == []
    assert [line for line in text.splitlines() if line.startswith("Requires=")] == ["Requires=sysinit.target"]

    assert "DefaultDependencies=no" in text.splitlines(), "or multi-user.target would wait for it"


def test_runtime_directory_survives_a_restart():
    """In /run the agent writes only /run/eks-proxy-agent, which systemd creates and preserves."""
    lines = (ROOT / "systemd" / "eks-proxy-agent.service").read_text().splitlines()
    runtime = [line for line in lines if line.startswith("RuntimeDirectory")]
    assert runtime == ["RuntimeDirectory=eks-proxy-agent", "RuntimeDirectoryMode=0755", "RuntimeDirectoryPreserve=yes"]
    assert [line for line in lines if line.startswith("ReadWritePaths=") and "/run" in line] == []


def test_every_ordering_line_has_a_reason():
    """Above each Before= and After= is a comment (or the Wants= that belongs to it)."""
    bare = []
    for unit in UNITS:
        lines = (ROOT / "systemd" / unit).read_text().splitlines()
        for above, line in zip(lines, lines[1:]):
            if line.startswith(("Before=", "After=")) and not above.startswith(("#", "Before=", "Wants=")):
                bare.append(f"{unit}: {line}")
    assert bare == []
