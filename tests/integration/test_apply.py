"""apply and revert on a real tree: interrupted after every step, repeated, edited by others."""

import errno
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.commands import late_start
from agent.commands import node as node_commands
from agent.core.plan.baseline import Baseline
from agent.core.plan.plan import Change, Plan
from agent.core.plan.saved_copies import SAVED
from agent.core.record import evolve
from agent.core.systemd import UnitState
from agent.daemon.boot import reconcile_once, report_and_release_units, request_facts
from agent.daemon.daemon import Daemon
from agent.edges import directory as disk_module
from agent.edges.files import FileSystem
from agent.edges.signals import watched
from agent.edges.state import State
from agent.edges.systemd import OfflineSystemd, Systemd
from agent.errors import CommandError
from agent.node.apply import apply
from agent.node.budget import Budget
from agent.node.host import Host
from agent.node.reconcile import Trigger
from agent.node.sources import SettingsSources
from tests.integration.scratch import DNF_CONF, ENVIRONMENT, PROXY, Node, rename_to_former

DOCKER_D = "etc/systemd/system/docker.service.d"
DROP_IN = DOCKER_D + "/zz-eks-proxy.conf"
KUBELET_D = "etc/systemd/system/kubelet.service.d"
OTHER = "http://other.corp:8080"


@pytest.fixture
def directory():
    """A directory in memory, if there is one.

    fsync takes most of the time, and test_strace covers it.
    """
    shm = "/dev/shm"
    with tempfile.TemporaryDirectory(prefix="agent-", dir=shm if os.access(shm, os.W_OK) else None) as name:
        yield Path(name)


@pytest.fixture
def node(directory):
    """A realistic tree."""
    return Node(directory)


# --- the second apply -----------------------------------------------------------------------------


def test_a_second_apply_changes_nothing(node):
    """No file and no directory gets another inode or another mtime."""
    node.apply()
    stamps = node.stamps()
    assert "nothing to do" in node.apply()
    assert node.stamps() == stamps
    assert node.run("plan")[0] == 0
    assert node.stamps() == stamps


def test_plan_changes_nothing(node):
    """The exit code is 3, and not even a lock file is created."""
    before, stamps = node.tree(ours=True), node.stamps()
    assert node.run("plan")[0] == 3
    assert (node.tree(ours=True), node.stamps()) == (before, stamps)


def test_another_cidr_changes_only_two_files(node):
    """These two contain the list; yum.conf and the drop-ins keep their inodes."""
    node.apply()
    stamps = node.stamps()
    node.configure(PROXY, vpc_cidrs_v4=["10.0.0.0/16", "10.9.0.0/16"])
    node.apply()
    after = node.stamps()
    changed = {path for path in stamps if after[path] != stamps[path] and not path.startswith("var/")}
    assert changed == {"etc", "etc/environment", "etc/eks-proxy-agent", "etc/eks-proxy-agent/node.env"}


def test_apply_succeeds_without_permission_to_inspect_processes(node, monkeypatch):
    """In a container /proc/PID/environ may not be readable: a warning; the files are written."""

    def refuse(*_):
        raise CommandError("/proc/7/environ: Permission denied")

    monkeypatch.setattr(late_start, "node_outdated", refuse)
    code, _, err = node.run("apply")
    assert (code, node.run("plan")[0]) == (0, 0)
    assert (
        "warning: cannot determine which units run with an old environment: /proc/7/environ: Permission denied" in err
    )


# --- revert ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [ENVIRONMENT, b"", b"A=1\\", b"http_proxy=x", b"A=1\r\n\r\n", b"\n\n", None])
def test_revert_restores_etc_environment(node, content):
    """Byte for byte, also where the edit added or removed something."""
    path = node.root / "etc/environment"
    path.unlink()
    if content is not None:
        node.write("etc/environment", content)
        path.chmod(0o640)
    before = node.tree(ours=True)
    node.apply()
    assert PROXY.encode() in path.read_bytes()
    node.revert()
    assert node.tree(ours=True) == before


@pytest.mark.parametrize(
    "content", [DNF_CONF, b"", b"[x]\na=1", b"[main]\nproxy=a\n  b\n\n  c", b"[main]\r\n", b"[main", None]
)
def test_revert_restores_yum_conf(node, content):
    """The file is edited through the link, which stays."""
    path = node.root / "etc/dnf/dnf.conf"
    path.unlink()
    if content is not None:
        node.write("etc/dnf/dnf.conf", content)
    before = node.tree(ours=True)
    node.apply()
    assert PROXY.encode() in path.read_bytes()
    node.revert()
    assert node.tree(ours=True) == before


def test_revert_restores_existing_files_with_our_names(node):
    """A drop-in and a node.env that existed before the agent come back, with their modes."""
    for name, mode in ((DROP_IN, 0o640), ("etc/eks-proxy-agent/node.env", 0o644)):
        node.write(name, b"# theirs\n")
        (node.root / name).chmod(mode)
    before = node.tree(ours=True)
    node.apply()
    assert node.read(DROP_IN) != b"# theirs\n"
    node.revert()
    assert node.tree(ours=True) == before


def test_revert_leaves_no_directory_of_the_agent(node):
    """It also removes the agent's state, so that it can be repeated."""
    before = node.tree(ours=True)
    for _ in range(2):
        node.apply()
        assert (node.root / KUBELET_D).is_dir()
        node.revert()
        assert node.tree(ours=True) == before
    assert "nothing to do" in node.revert()


def test_revert_removes_temporary_files_of_killed_runs(node):
    """This covers files in /etc and the agent's own state."""
    before = node.tree(ours=True)
    node.apply()
    instance = "var/lib/eks-proxy-agent/instances/i-0123456789abcdef0/"
    for name in ("bootstrap.json", "flags.json", "kept.json", "facts.json"):
        node.write(instance + f".{name}.eks-proxy-agent", b"half")
    for name in (
        "var/lib/eks-proxy-agent/baseline.json",
        "run/eks-proxy-agent/status.json",
        "etc/environment",
        DROP_IN,
    ):
        directory, _, name = name.rpartition("/")
        node.write(f"{directory}/.{name}.eks-proxy-agent", b"half")
    node.revert()
    assert node.tree(ours=True) == before


def test_a_directory_that_others_use_stays(node):
    """When it is empty, a later revert removes it."""
    node.apply()
    node.write(KUBELET_D + "/10-theirs.conf", b"[Service]\n")
    node.revert()
    assert os.listdir(node.root / KUBELET_D) == ["10-theirs.conf"]
    (node.root / KUBELET_D / "10-theirs.conf").unlink()
    node.revert()
    assert not (node.root / KUBELET_D).exists()


def test_revert_keeps_later_edits_of_others(node):
    """Lines that others added or removed in both shared files; revert reports it."""
    node.apply()
    node.write("etc/environment", node.read("etc/environment").replace(b"# locale\n", b"") + b"ADDED=1\n")
    node.write("etc/dnf/dnf.conf", node.read("etc/dnf/dnf.conf").replace(b"gpgcheck=1", b"gpgcheck=0") + b"added=1\n")
    code, _, err = node.run("revert")
    assert code == 0
    assert err.count("edited since the agent wrote it; only") == 2
    assert node.read("etc/environment") == b"LANG=C.UTF-8\r\nLAST=1\nADDED=1\nhttp_proxy=http://old:1\n"
    assert node.read("etc/dnf/dnf.conf") == DNF_CONF.replace(b"gpgcheck=1", b"gpgcheck=0") + b"added=1\n"


def test_revert_saves_a_copy_of_an_edited_drop_in(node):
    """The copy has a name that systemd does not read, in the same directory."""
    node.apply()
    edited = node.read(DROP_IN) + b"Environment=MINE=1\n"
    node.write(DROP_IN, edited)
    kubelet = node.root / KUBELET_D / "zz-eks-proxy.conf"
    kubelet.write_bytes(edited)
    code, _, err = node.run("revert")
    assert code == 0
    for name in (DROP_IN, KUBELET_D + "/zz-eks-proxy.conf"):
        assert not (node.root / name).exists()
        assert node.read(name + SAVED) == edited
        assert f"/{name}{SAVED}" in err
    assert not SAVED.endswith(".conf")


def test_copies_of_earlier_reverts_are_not_overwritten(node):
    """The second copy gets a number, and the same content is not saved twice."""
    for edit, kept in ((b"1", SAVED), (b"2", SAVED + ".2"), (b"1", SAVED), (b"3", SAVED + ".3")):
        node.apply()
        node.write(DROP_IN, b"[Service]\nEnvironment=MINE=%s\n" % edit)
        code, _, err = node.run("revert")
        assert code == 0
        assert err.count(f"is kept as /{DROP_IN}{kept}\n") == 1
    copies = {path.name: path.read_bytes()[-2:-1] for path in (node.root / DROP_IN).parent.glob("*save*")}
    name = DROP_IN.rpartition("/")[2] + SAVED
    assert copies == {name: b"1", name + ".2": b"2", name + ".3": b"3"}


def test_an_edited_drop_in_stays_if_its_copy_cannot_be_saved(node):
    """All other files are reverted, and this one by the next revert."""
    before = node.tree(ours=True)
    node.apply()
    node.write(DROP_IN, b"[Service]\nEnvironment=MINE=1\n")
    directory, _, name = (DROP_IN + SAVED).rpartition("/")
    in_the_way = node.root / directory / f".{name}.eks-proxy-agent"
    in_the_way.mkdir()
    code, _, err = node.run("revert")
    assert code == 1
    assert f"/{DROP_IN}{SAVED}: cannot be written: Is a directory" in err
    assert node.read(DROP_IN) == b"[Service]\nEnvironment=MINE=1\n"
    assert node.read("etc/environment") == ENVIRONMENT
    in_the_way.rmdir()
    node.revert()
    assert node.read(DROP_IN + SAVED) == b"[Service]\nEnvironment=MINE=1\n"
    (node.root / (DROP_IN + SAVED)).unlink()
    assert node.tree(ours=True) == before


def test_a_file_in_place_of_our_directory_is_a_problem_and_not_a_hang(node):
    """No name beside the drop-in can be read then; all other files are reverted."""
    node.apply()
    shutil.rmtree(node.root / KUBELET_D)
    node.write(KUBELET_D, b"")
    for command in ("plan", "apply", "revert"):
        code, _, err = node.run(command)
        assert (code, f"{KUBELET_D}/zz-eks-proxy.conf: a component of the path is not a directory" in err) == (1, True)
    assert node.read("etc/environment") == ENVIRONMENT


def test_revert_works_after_others_deleted_files(node):
    """Created files stay deleted, and originals come back."""
    before = node.tree(ours=True)
    node.apply()
    shutil.rmtree(node.root / KUBELET_D)
    (node.root / "etc/eks-proxy-agent/node.env").unlink()
    (node.root / "etc/environment").unlink()
    node.revert()
    assert node.tree(ours=True) == before


def test_apply_restores_deleted_files(node):
    """revert still restores the original."""
    before = node.tree(ours=True)
    node.apply()
    applied = node.tree()
    shutil.rmtree(node.root / KUBELET_D)
    shutil.rmtree(node.root / "etc/eks-proxy-agent")
    node.apply()
    assert node.tree() == applied
    node.revert()
    assert node.tree(ours=True) == before


@pytest.mark.parametrize(
    ("flag", "gone", "kept"),
    [
        ('node.units=["docker"]', [KUBELET_D], [DROP_IN, "etc/environment"]),
        ("node.units=[]", [KUBELET_D, DROP_IN], ["etc/environment"]),
    ],
)
def test_drop_ins_of_units_removed_from_the_settings_are_removed(node, flag, gone, kept):
    """The directories that were created for them are removed too."""
    node.apply()
    node.apply("--once", "--set", flag)
    assert not any((node.root / name).exists() for name in gone)
    assert all(PROXY.encode() in node.read(name) or b"EnvironmentFile" in node.read(name) for name in kept)
    assert (node.root / DOCKER_D / "10-other.conf").exists()


@pytest.mark.parametrize(
    ("key", "name", "content"),
    [("node.yum", "etc/dnf/dnf.conf", DNF_CONF), ("node.environment", "etc/environment", ENVIRONMENT)],
)
def test_a_file_that_is_switched_off_is_restored(node, key, name, content):
    """When it is switched on again, the agent's content comes back."""
    node.apply()
    ours = node.read(name)
    node.apply("--once", "--set", f"{key}=false")
    assert node.read(name) == content
    node.apply("--once", "--set", f"{key}=true")
    assert node.read(name) == ours


def test_yum_conf_is_private_while_it_holds_the_password(node):
    """Without the password it gets its old mode back, by settings and by revert."""
    before = node.tree()
    node.write("etc/secret", b"me:secret\n")
    (node.root / "etc/secret").chmod(0o600)
    secret = ("--once", "--set", "proxy.credentials_file=/etc/secret", "--set", "proxy.credentials_in_yum=true")
    for undo in (node.apply, node.revert):
        node.apply(*secret)
        mode, content = node.tree()["etc/dnf/dnf.conf"]
        assert (mode, b"me:secret@" in content) == (0o600, True)
        undo()
        mode, content = node.tree()["etc/dnf/dnf.conf"]
        assert (mode, b"secret" in content) == (0o644, False)
    (node.root / "etc/secret").unlink()
    assert node.tree() == before


def test_without_a_proxy_everything_is_reverted(node):
    """proxy.url was removed from the settings."""
    before = node.tree()
    node.apply()
    node.configure("")
    node.apply()
    assert node.tree() == before


# --- interrupted ----------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here: nothing catches this, and nothing is cleaned up."""


class Faulty:
    """The `os` of the file edge; it counts the calls that change something.

    Before the call number `target` it calls `strike`. It counts the calls after which the tree
    looks different: fsync and fchmod are left to test_strace.
    """

    NAMES = ("open", "write", "rename", "unlink", "mkdir", "rmdir")

    def __init__(self, strike, target=None):
        self.strike, self.target, self.calls = strike, target, 0

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in self.NAMES:
            return real

        def counted(*arguments, **keywords):
            if name != "open" or arguments[1] & os.O_CREAT:
                self.calls += 1
                if self.calls == self.target:
                    self.strike(name, real, arguments)
            return real(*arguments, **keywords)

        return counted


def kill(name, real, arguments):
    """Die before the call; of a write, after half of the data."""
    if name == "write":
        real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
    raise Killed


def no_space(name, real, arguments):
    """Fail, if the call takes space."""
    if name in ("unlink", "rmdir"):
        return
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Tree:
    """A scratch tree in several states: saved, loaded, changed by steps that may be interrupted."""

    def __init__(self, node, monkeypatch):
        self.node, self.monkeypatch = node, monkeypatch

    def save(self, name):
        """Keep the tree, settings included, under a name."""
        shutil.copytree(
            self.node.directory, self.node.directory.with_name(self.node.directory.name + name), symlinks=True
        )

    def load(self, name):
        """Go back to a saved tree."""
        shutil.rmtree(self.node.directory)
        shutil.copytree(
            self.node.directory.with_name(self.node.directory.name + name), self.node.directory, symlinks=True
        )

    def run(self, step, strike=kill, target=None):
        """Run one step; return the number of its calls, and True if it was completed."""
        faulty = Faulty(strike, target)
        with self.monkeypatch.context() as patch:
            patch.setattr(disk_module, "os", faulty)
            try:
                step()
            except Killed:
                return faulty.calls, False
        return faulty.calls, True


def steps(node):
    """The steps to interrupt: name → what comes before, the step."""

    def reconfigure():
        node.configure(OTHER)
        node.run("apply", "--set", 'node.units=["docker", "containerd"]', "--once")

    return {
        "the first apply": ([], lambda: node.run("apply")),
        "an apply with other settings": ([node.apply], reconfigure),
        "an upgrade": ([node.apply, lambda: rename_to_former(node.root)], lambda: node.run("apply")),
        "a revert": ([node.apply], lambda: node.run("revert")),
        "a revert of what others edited": (
            [node.apply, lambda: node.write(KUBELET_D + "/zz-eks-proxy.conf", b"[X]\n")],
            lambda: node.run("revert"),
        ),
    }


@pytest.fixture
def tree(node, monkeypatch):
    """The tree; its saved states are removed at the end.

    systemctl is not called, because a thousand calls take too long.
    """
    monkeypatch.setattr(OfflineSystemd, "show", lambda self, names: {})
    yield Tree(node, monkeypatch)
    for path in node.directory.parent.glob(node.directory.name + "?*"):
        shutil.rmtree(path)


@pytest.mark.parametrize(
    "cut",
    ["the first apply", "an apply with other settings", "an upgrade", "a revert", "a revert of what others edited"],
)
def test_after_a_kill_at_any_call_the_next_run_converges(node, tree, cut):
    """Killed before each call that changes the disk, every file is wholly old or wholly new.

    The next apply gives the same tree as an uninterrupted one, and so does the next revert. No
    temporary file remains.
    """
    before, step = steps(node)[cut]
    pristine = node.tree(ours=True)
    for action in before:
        action()
    tree.save("start")
    old = node.tree()
    calls, _ = tree.run(step)
    new = node.tree()
    tree.load("start")
    node.run("revert")
    reverted = node.tree(ours=True)
    tree.load("start")
    node.apply()
    applied = node.tree()
    assert calls > 10
    for target in range(1, calls + 1):
        tree.load("start")
        assert tree.run(step, target=target) == (target, False)
        for path, entry in node.tree().items():
            if path not in node.temporaries():
                assert entry in (old.get(path), new.get(path)), f"{path} is half written at call {target}"
        assert cut != "an upgrade" or has_drop_ins(node), f"a unit has no drop-in at call {target}"
        tree.save("cut")
        node.configure(PROXY)
        node.apply()
        assert {path: entry for path, entry in node.tree().items() if SAVED not in path} == applied, (
            f"apply after call {target}"
        )
        assert node.temporaries() == []
        node.revert()
        if "edited" not in cut:
            assert node.tree(ours=True) == pristine, f"apply and revert after call {target}"
        tree.load("cut")
        node.revert()
        assert node.tree(ours=True) == reverted, f"revert after call {target}"
        shutil.rmtree(node.directory.with_name(node.directory.name + "cut"))


def has_drop_ins(node):
    """True if each unit has a drop-in, by either name."""
    names = ("zz-eks-proxy.conf", "90-eks-proxy.conf")
    return all(any((node.root / directory / name).exists() for name in names) for directory in (DOCKER_D, KUBELET_D))


@pytest.mark.parametrize("cut", ["the first apply", "an apply with other settings", "an upgrade", "a revert"])
def test_a_full_disk_at_any_call_damages_no_file(node, tree, cut):
    """ENOSPC once, at any call, leaves no file half written; the next run completes the work."""
    before, step = steps(node)[cut]
    pristine = node.tree(ours=True)
    for action in before:
        action()
    tree.save("start")
    old = node.tree()
    calls, _ = tree.run(step)
    new = node.tree()
    for target in range(1, calls + 1):
        tree.load("start")
        tree.run(step, strike=no_space, target=target)
        for path, entry in node.tree().items():
            assert entry in (old.get(path), new.get(path)), f"{path} is half written at call {target}"
        assert cut != "an upgrade" or has_drop_ins(node), f"a unit has no drop-in at call {target}"
        tree.run(step)
        assert node.tree() == new, f"the same step again after call {target}"
        node.revert()
        assert node.tree(ours=True) == pristine, f"revert after call {target}"


# Events of a node between its first apply and the last revert.
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["apply", "revert", "other", "fewer", "none", "former", "environment", "yum"]),
        st.integers(0, 40),
    ),
    max_size=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS)
def test_after_any_history_revert_restores_the_original(tree, events):
    """Applies, reverts and edits of others in any order, any of them killed.

    The last revert restores the original with the lines that others added, in their order, and
    leaves nothing of the agent.
    """
    node = tree.node
    shutil.rmtree(node.directory)
    node.directory.mkdir()
    Node(node.directory)
    original = node.tree(ours=True)
    added = {"etc/environment": [], "etc/dnf/dnf.conf": []}
    for number, (event, target) in enumerate(events):
        node.configure({"other": OTHER, "none": ""}.get(event, PROXY))
        if event in ("environment", "yum"):
            name = {"environment": "etc/environment", "yum": "etc/dnf/dnf.conf"}[event]
            text, line = node.read(name), b"added%d=1\n" % number
            node.write(name, text + (b"" if text.endswith(b"\n") else b"\n") + line)
            added[name].append(line)
        elif event == "former":
            rename_to_former(node.root)
        elif event == "revert":
            tree.run(lambda: node.run("revert"), target=target or None)
        else:
            flags = ("--set", 'node.units=["docker"]', "--once") if event == "fewer" else ()
            tree.run(lambda flags=flags: node.run("apply", *flags), target=target or None)
    node.revert()
    remaining = node.tree(ours=True)
    assert node.temporaries() == []
    for name, lines in added.items():
        if lines:
            text = remaining[name][1].splitlines(keepends=True)
            assert [line for line in text if line.startswith(b"added")] == lines
            rest = [line.rstrip(b"\r\n") for line in text if not line.startswith(b"added")]
            assert sorted(filter(None, rest)) == sorted(
                filter(None, original[name][1].replace(b"\r", b"").split(b"\n"))
            )
            remaining[name] = original[name]
    assert remaining == original


# --- systemd --------------------------------------------------------------------------------------


class Live(FileSystem):
    """A tree that passes for that of the running machine."""

    live = True


class Recorder(Systemd):
    """Records the calls of systemd and the drop-in that it reads; the call `fail` fails once."""

    def __init__(self, disk, fail=""):
        super().__init__(running=False)
        self.files, self.fail, self.calls = disk, fail, []

    def _note(self, *call):
        if call[0] == self.fail:
            self.fail = ""
            raise CommandError(f"systemctl {call[0]}: failed")
        self.calls.append(call)

    def reload(self):
        """Record the drop-in that systemd reads now, and if the reload is pending."""
        self._note("reload", self.files.read("/" + DROP_IN), State(self.files).reload_pending)

    def enable(self, names):
        self._note("enable", *names)

    def disable(self, names):
        self._note("disable", *names)

    def start(self, names):
        self._note("start", *names)


def apply_locked(plan, host):
    """Apply a plan under the lock."""
    with host.locked() as state:
        return apply(plan, host, state)


PLAN = Plan(
    changes=(Change("/" + DROP_IN, None, b"new"),),
    baseline=Baseline(enabled=("docker.service",)),
    enable=("docker.service",),
    start=("docker.service",),
    reload=True,
)


@pytest.fixture
def live(node):
    """A Host on the tree that passes for the running machine's."""
    disk = Live(str(node.root))
    return Host(disk, State(disk), Recorder(disk))


def test_systemd_is_reloaded_once_after_the_last_file_and_before_the_start(live):
    """A unit that is started before the reload would not read its drop-in."""
    apply_locked(PLAN, live)
    assert live.units.calls == [("enable", "docker.service"), ("reload", b"new", True), ("start", "docker.service")]
    assert not live.state.reload_pending


def test_an_empty_plan_does_not_call_systemd(live):
    """The plan is empty and the baseline unchanged."""
    apply_locked(Plan(), live)
    assert live.units.calls == []


@pytest.mark.parametrize("in_background", [False, True])
def test_another_tree_is_not_reloaded(node, in_background):
    """An image is built on a machine that is independent of it."""
    disk = FileSystem(str(node.root))
    host = Host(disk, State(disk), Recorder(disk))
    with host.locked() as state:
        apply(PLAN, host, state, in_background=in_background)
    assert host.units.background is None
    assert host.units.calls == [("enable", "docker.service"), ("start", "docker.service")]
    assert not host.state.reload_pending


@pytest.mark.parametrize("call", ["enable", "reload", "start"])
def test_a_failed_call_of_systemd_is_repeated(live, call):
    """The files are written; the next plan is not empty, because the reload is still pending."""
    live.units.fail = call
    assert apply_locked(PLAN, live).problems
    assert live.files.read("/" + DROP_IN) == b"new"
    assert live.state.reload_pending
    apply_locked(PLAN, live)
    assert live.units.calls[-2:] == [("reload", b"new", True), ("start", "docker.service")]
    assert not live.state.reload_pending


def test_a_unit_is_recorded_before_it_is_enabled(live):
    """After a kill in between, revert still disables it."""
    live.units.enable = lambda names: (_ for _ in ()).throw(Killed)
    with pytest.raises(Killed):
        apply_locked(PLAN, live)
    assert live.state.baseline().enabled == ("docker.service",)


def test_a_kill_between_drop_in_and_reload_leaves_the_reload_pending(live, monkeypatch):
    """At any call: either the drop-in does not exist yet, or the reload is pending."""
    for target in range(1, 100):
        shutil.rmtree(live.files.root)
        Node(Path(live.files.root).parent)
        with monkeypatch.context() as patch:
            patch.setattr(disk_module, "os", Faulty(kill, target))
            try:
                apply_locked(PLAN, live)
            except Killed:
                assert live.files.read("/" + DROP_IN) is None or live.state.reload_pending or live.units.calls
            else:
                break
        live.units.calls.clear()
    assert target > 10


class Held(Recorder):
    """A systemd that refused to start docker because of the gate of "closed"."""

    def show(self, names):
        """The same state for every unit."""
        return {name: UnitState(name, active="inactive", blocked=name == "docker.service") for name in names}


@pytest.fixture
def opened(node, live):
    """A closed machine whose operator has just removed policy and proxy from the settings."""
    config = node.directory / "config.toml"
    proxy = config.read_text()
    config.write_text(proxy + '[failure]\npolicy = "closed"\n')
    node.apply("--once")
    config.write_text(proxy.replace(PROXY, ""))
    return evolve(live, units=Held(live.files))


def test_apply_starts_a_held_unit_when_the_proxy_is_removed(node, opened, monkeypatch):
    """Nothing else would start docker: its start was refused and is not retried."""
    monkeypatch.setattr(node_commands, "host_of", lambda arguments: opened)
    monkeypatch.setattr(node_commands, "need_root", lambda *_: None)
    assert "started docker.service" in node.apply()
    assert opened.units.calls[-1] == ("start", "docker.service")
    assert "started" not in node.apply()


def test_the_daemon_starts_a_held_unit_when_the_proxy_is_removed(node, opened):
    """The same if the daemon reads the new settings first."""
    inputs = SettingsSources(config=str(node.directory / "config.toml"), facts=str(node.directory / "facts.json"))
    with watched() as signals:
        daemon = Daemon(opened, inputs, lambda message: None, signals)
        static = daemon.static_settings()
        facts = request_facts(daemon, static, Budget())
        assert report_and_release_units(daemon, reconcile_once(daemon, static, facts, Trigger.DAEMON_BOOT))
    assert opened.units.calls[-1] == ("start", "docker.service")


def test_flags_are_kept_if_a_file_cannot_be_written(node):
    """`apply --proxy URL` prints the changes that succeeded.

    The daemon's next reconcile does not undo them.
    """
    node.configure("")
    (node.root / "etc/dnf/.dnf.conf.eks-proxy-agent").mkdir()  # in place of the temporary file
    code, out, err = node.run("apply", "--proxy", OTHER)
    assert code == 1
    assert "changed /etc/environment\n" in out
    assert "dnf.conf" not in out
    assert "/etc/dnf/dnf.conf: cannot be written: Is a directory" in err
    (node.root / "etc/dnf/.dnf.conf.eks-proxy-agent").rmdir()
    assert "changed /etc/dnf/dnf.conf\n" in node.apply()
    assert OTHER.encode() in node.read("etc/environment")
    assert json.loads(node.read("run/eks-proxy-agent/status.json"))["kept_flags"] == 1
