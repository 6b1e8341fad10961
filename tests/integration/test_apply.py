"""apply and revert on a real tree: interrupted after every step, planned again, edited by others,
taken back.
"""

import errno
import os
import shutil
import tempfile
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.commands import node as node_commands
from agent.core.plan.plan import SAVED, Baseline, Change, Plan
from agent.core.systemd import UnitState
from agent.daemon.boot import Daemon, after_ready, ask, one_pass
from agent.edges import files as disk_module
from agent.edges.files import FileSystem
from agent.edges.signals import watched
from agent.edges.state import State
from agent.edges.systemd import OfflineSystemd, Systemd
from agent.errors import CommandError
from agent.node.apply import apply
from agent.node.host import Host
from agent.node.reconcile import Trigger
from agent.node.sources import SettingsSources
from tests.integration.scratch import DNF_CONF, ENVIRONMENT, PROXY, Node

DOCKER_D = "etc/systemd/system/docker.service.d"
DROP_IN = DOCKER_D + "/90-eks-proxy.conf"
KUBELET_D = "etc/systemd/system/kubelet.service.d"
OTHER = "http://other.corp:8080"


@pytest.fixture
def directory():
    """A directory in memory where there is one: fsync is what takes the time, and test_strace looks
    at it.
    """
    shm = "/dev/shm"
    with tempfile.TemporaryDirectory(prefix="agent-", dir=shm if os.access(shm, os.W_OK) else None) as name:
        yield Path(name)


@pytest.fixture
def node(directory):
    """A realistic tree."""
    return Node(directory)


# --- the second time
# ---------------------------------------------------------------------------------------------------


def test_the_second_apply_changes_nothing_at_all(node):
    """Neither a file nor a directory gets another inode or another mtime."""
    node.apply()
    stamps = node.stamps()
    assert "nothing to do" in node.apply()
    assert node.stamps() == stamps
    assert node.run("plan")[0] == 0
    assert node.stamps() == stamps


def test_plan_changes_nothing_at_all(node):
    """Exit code 3, and not even a lock."""
    before, stamps = node.tree(ours=True), node.stamps()
    assert node.run("plan")[0] == 3
    assert (node.tree(ours=True), node.stamps()) == (before, stamps)


def test_another_cidr_changes_only_what_has_to(node):
    """The two files that hold the list; yum.conf and the drop-ins keep their inodes."""
    node.apply()
    stamps = node.stamps()
    node.configure(PROXY, vpc_cidrs_v4=["10.0.0.0/16", "10.9.0.0/16"])
    node.apply()
    after = node.stamps()
    changed = {path for path in stamps if after[path] != stamps[path] and not path.startswith("var/")}
    assert changed == {"etc", "etc/environment", "etc/eks-proxy-agent", "etc/eks-proxy-agent/node.env"}


def test_who_may_not_look_at_processes_has_applied_all_the_same(node, monkeypatch):
    """Without the right to read /proc/PID/environ, as in a container, that is a warning; the files
    are written.
    """

    def refused(*_):
        raise CommandError("/proc/7/environ: Permission denied")

    monkeypatch.setattr(node_commands, "stale_units", refused)
    code, _, told = node.run("apply")
    assert (code, node.run("plan")[0]) == (0, 0)
    assert (
        "warning: cannot determine which units run with an old environment: /proc/7/environ: Permission denied" in told
    )


# --- revert
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [ENVIRONMENT, b"", b"A=1\\", b"http_proxy=x", b"A=1\r\n\r\n", b"\n\n", None])
def test_revert_restores_etc_environment(node, content):
    """Byte for byte, also what the edit had to add or take out."""
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
    """Through the link, which stays."""
    path = node.root / "etc/dnf/dnf.conf"
    path.unlink()
    if content is not None:
        node.write("etc/dnf/dnf.conf", content)
    before = node.tree(ours=True)
    node.apply()
    assert PROXY.encode() in path.read_bytes()
    node.revert()
    assert node.tree(ours=True) == before


def test_revert_restores_a_file_of_our_name(node):
    """A drop-in and a node.env that somebody had there before us, with their modes."""
    for name, mode in ((DROP_IN, 0o640), ("etc/eks-proxy-agent/node.env", 0o644)):
        node.write(name, b"# theirs\n")
        (node.root / name).chmod(mode)
    before = node.tree(ours=True)
    node.apply()
    assert node.read(DROP_IN) != b"# theirs\n"
    node.revert()
    assert node.tree(ours=True) == before


def test_revert_leaves_no_directory_of_ours(node):
    """And no memory of its own, so that it can be done again."""
    before = node.tree(ours=True)
    for _ in range(2):
        node.apply()
        assert (node.root / KUBELET_D).is_dir()
        node.revert()
        assert node.tree(ours=True) == before
    assert "nothing to do" in node.revert()


def test_revert_leaves_nothing_of_killed_runs(node):
    """Whichever file they were about to write, in /etc or of their own memory."""
    before = node.tree(ours=True)
    node.apply()
    instance = "var/lib/eks-proxy-agent/instances/i-0123456789abcdef0/"
    for name in ("bootstrap.json", "flags.json", "facts.json"):
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


def test_a_directory_of_ours_that_others_use_stays(node):
    """Until it is empty; then a later revert takes it."""
    node.apply()
    node.write(KUBELET_D + "/10-theirs.conf", b"[Service]\n")
    node.revert()
    assert os.listdir(node.root / KUBELET_D) == ["10-theirs.conf"]
    (node.root / KUBELET_D / "10-theirs.conf").unlink()
    node.revert()
    assert not (node.root / KUBELET_D).exists()


def test_revert_keeps_what_others_wrote_since(node):
    """Lines that they added or took out, in both shared files; and says so."""
    node.apply()
    node.write("etc/environment", node.read("etc/environment").replace(b"# locale\n", b"") + b"ADDED=1\n")
    node.write("etc/dnf/dnf.conf", node.read("etc/dnf/dnf.conf").replace(b"gpgcheck=1", b"gpgcheck=0") + b"added=1\n")
    code, _, err = node.run("revert")
    assert code == 0
    assert err.count("edited since the agent wrote it; only") == 2
    assert node.read("etc/environment") == b"LANG=C.UTF-8\r\nLAST=1\nADDED=1\nhttp_proxy=http://old:1\n"
    assert node.read("etc/dnf/dnf.conf") == DNF_CONF.replace(b"gpgcheck=1", b"gpgcheck=0") + b"added=1\n"


def test_revert_keeps_a_drop_in_that_others_edited(node):
    """Beside its old place, under a name that systemd does not read; the directory stays with
    it.
    """
    node.apply()
    edited = node.read(DROP_IN) + b"Environment=MINE=1\n"
    node.write(DROP_IN, edited)
    kubelet = node.root / KUBELET_D / "90-eks-proxy.conf"
    kubelet.write_bytes(edited)
    code, _, err = node.run("revert")
    assert code == 0
    for name in (DROP_IN, KUBELET_D + "/90-eks-proxy.conf"):
        assert not (node.root / name).exists()
        assert node.read(name + SAVED) == edited
        assert f"/{name}{SAVED}" in err
    assert not SAVED.endswith(".conf")


def test_what_an_earlier_revert_kept_is_not_overwritten(node):
    """The second copy is numbered, and the same edit is not kept twice."""
    for edit, kept in ((b"1", SAVED), (b"2", SAVED + ".2"), (b"1", SAVED), (b"3", SAVED + ".3")):
        node.apply()
        node.write(DROP_IN, b"[Service]\nEnvironment=MINE=%s\n" % edit)
        code, _, err = node.run("revert")
        assert code == 0
        assert err.count(f"is kept as /{DROP_IN}{kept}\n") == 1
    copies = {path.name: path.read_bytes()[-2:-1] for path in (node.root / DROP_IN).parent.glob("*save*")}
    name = DROP_IN.rpartition("/")[2] + SAVED
    assert copies == {name: b"1", name + ".2": b"2", name + ".3": b"3"}


def test_an_edited_drop_in_that_cannot_be_kept_stays_where_it_is(node):
    """Rather than be lost; all other files are reverted, and this one by the next revert."""
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


def test_a_file_where_our_directory_was_is_a_problem_and_no_endless_search(node):
    """No name beside the drop-in can be looked at then; all other files are done."""
    node.apply()
    shutil.rmtree(node.root / KUBELET_D)
    node.write(KUBELET_D, b"")
    for command in ("plan", "apply", "revert"):
        code, _, err = node.run(command)
        assert (code, f"{KUBELET_D}/90-eks-proxy.conf: a component of the path is not a directory" in err) == (1, True)
    assert node.read("etc/environment") == ENVIRONMENT


def test_what_others_deleted_does_not_stop_revert(node):
    """What we made stays away, what was there before us comes back."""
    before = node.tree(ours=True)
    node.apply()
    shutil.rmtree(node.root / KUBELET_D)
    (node.root / "etc/eks-proxy-agent/node.env").unlink()
    (node.root / "etc/environment").unlink()
    node.revert()
    assert node.tree(ours=True) == before


def test_what_others_deleted_is_put_back_by_apply(node):
    """And revert still knows the original."""
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
def test_units_that_left_the_settings_are_taken_back(node, flag, gone, kept):
    """Their drop-ins, and the directories that were made for them."""
    node.apply()
    node.apply("--once", "--set", flag)
    assert not any((node.root / name).exists() for name in gone)
    assert all(PROXY.encode() in node.read(name) or b"EnvironmentFile" in node.read(name) for name in kept)
    assert (node.root / DOCKER_D / "10-other.conf").exists()


@pytest.mark.parametrize(
    ("key", "name", "content"),
    [("node.yum", "etc/dnf/dnf.conf", DNF_CONF), ("node.environment", "etc/environment", ENVIRONMENT)],
)
def test_a_file_that_was_switched_off_is_as_before_us(node, key, name, content):
    """And comes back when it is switched on again."""
    node.apply()
    ours = node.read(name)
    node.apply("--once", "--set", f"{key}=false")
    assert node.read(name) == content
    node.apply("--once", "--set", f"{key}=true")
    assert node.read(name) == ours


def test_yum_conf_is_private_while_it_holds_the_password(node):
    """And as readable as before when it does not, by settings or by revert."""
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


def test_without_a_proxy_everything_is_taken_back(node):
    """proxy.url left the settings."""
    before = node.tree()
    node.apply()
    node.configure("")
    node.apply()
    assert node.tree() == before


# --- interrupted
# -------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here: nothing catches this, and nothing is cleaned up."""


class Faulty:
    """The `os` of the disk edge, whose calls that change something are counted; at the `at`-th
    `strike` comes first.

    Those are the calls after which the tree looks different: fsync and fchmod are left to
    test_strace.
    """

    NAMES = ("open", "write", "rename", "unlink", "mkdir", "rmdir")

    def __init__(self, strike, at=None):
        self.strike, self.at, self.calls = strike, at, 0

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in self.NAMES:
            return real

        def counted(*arguments, **keywords):
            if (name != "open" or arguments[1] & os.O_CREAT) and (name != "unlink" or os.path.exists(arguments[0])):
                self.calls += 1
                if self.calls == self.at:
                    self.strike(name, real, arguments)
            return real(*arguments, **keywords)

        return counted


def kill(name, real, arguments):
    """Die before the call; of a write, half is done."""
    if name == "write":
        real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
    raise Killed


def no_space(name, real, arguments):
    """The call fails, if it is one that takes space."""
    if name in ("unlink", "rmdir"):
        return
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Tree:
    """One scratch tree in several states: saved, put back, brought on by steps that may be cut
    off.
    """

    def __init__(self, node, monkeypatch):
        self.node, self.monkeypatch = node, monkeypatch

    def save(self, name):
        """Keep the tree, settings included, under a name."""
        shutil.copytree(
            self.node.directory, self.node.directory.with_name(self.node.directory.name + name), symlinks=True
        )

    def load(self, name):
        """Go back to a kept tree."""
        shutil.rmtree(self.node.directory)
        shutil.copytree(
            self.node.directory.with_name(self.node.directory.name + name), self.node.directory, symlinks=True
        )

    def run(self, step, strike=kill, at=None):
        """One step; how many calls it took, and whether it came to its end."""
        faulty = Faulty(strike, at)
        with self.monkeypatch.context() as patch:
            patch.setattr(disk_module, "os", faulty)
            try:
                step()
            except Killed:
                return faulty.calls, False
        return faulty.calls, True


def steps(node):
    """What can be cut off: (what comes before, the step, the settings of the run after it)."""

    def reconfigure():
        node.configure(OTHER)
        node.run("apply", "--set", 'node.units=["docker", "containerd"]', "--once")

    return {
        "the first apply": ([], lambda: node.run("apply")),
        "an apply with other settings": ([node.apply], reconfigure),
        "a revert": ([node.apply], lambda: node.run("revert")),
        "a revert of what others edited": (
            [node.apply, lambda: node.write(KUBELET_D + "/90-eks-proxy.conf", b"[X]\n")],
            lambda: node.run("revert"),
        ),
    }


@pytest.fixture
def tree(node, monkeypatch):
    """The tree with its kept states, which go away in the end; systemctl is not asked a thousand
    times.
    """
    monkeypatch.setattr(OfflineSystemd, "show", lambda self, names: {})
    yield Tree(node, monkeypatch)
    for path in node.directory.parent.glob(node.directory.name + "?*"):
        shutil.rmtree(path)


@pytest.mark.parametrize(
    "cut", ["the first apply", "an apply with other settings", "a revert", "a revert of what others edited"]
)
def test_cut_off_at_any_call_the_next_run_converges(node, tree, cut):
    """Killed before each single call that changes the disk: every file is wholly old or wholly new,
    the next apply makes the same tree as if nothing had happened, and so does the next revert; no
    temporary file survives either.
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
    for at in range(1, calls + 1):
        tree.load("start")
        assert tree.run(step, at=at) == (at, False)
        for path, entry in node.tree().items():
            if path not in node.temporaries():
                assert entry in (old.get(path), new.get(path)), f"{path} is half done at call {at}"
        tree.save("cut")
        node.configure(PROXY)
        node.apply()
        assert {path: entry for path, entry in node.tree().items() if SAVED not in path} == applied, (
            f"apply after call {at}"
        )
        assert node.temporaries() == []
        node.revert()
        if "edited" not in cut:
            assert node.tree(ours=True) == pristine, f"apply and revert after call {at}"
        tree.load("cut")
        node.revert()
        assert node.tree(ours=True) == reverted, f"revert after call {at}"
        shutil.rmtree(node.directory.with_name(node.directory.name + "cut"))


@pytest.mark.parametrize("cut", ["the first apply", "an apply with other settings", "a revert"])
def test_a_full_disk_at_any_call_is_an_error_and_no_harm(node, tree, cut):
    """ENOSPC once, anywhere: exit code 1 or none at all, nothing half done, and the next run makes
    up for it.
    """
    before, step = steps(node)[cut]
    pristine = node.tree(ours=True)
    for action in before:
        action()
    tree.save("start")
    old = node.tree()
    calls, _ = tree.run(step)
    new = node.tree()
    for at in range(1, calls + 1):
        tree.load("start")
        tree.run(step, strike=no_space, at=at)
        for path, entry in node.tree().items():
            assert entry in (old.get(path), new.get(path)), f"{path} is half done at call {at}"
        tree.run(step)
        assert node.tree() == new, f"the same again after call {at}"
        node.revert()
        assert node.tree(ours=True) == pristine, f"revert after call {at}"


# What may happen to a node between its first apply and the last revert.
HAPPENINGS = st.lists(
    st.tuples(st.sampled_from(["apply", "revert", "other", "fewer", "none", "environment", "yum"]), st.integers(0, 40)),
    max_size=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happenings=HAPPENINGS)
def test_any_history_ends_where_it_began(tree, happenings):
    """Applies, reverts and edits of others in any order, any of them cut off: the last revert
    restores the original with what others added, in the order in which they added it, and leaves
    nothing of ours.
    """
    node = tree.node
    shutil.rmtree(node.directory)
    node.directory.mkdir()
    Node(node.directory)
    original = node.tree(ours=True)
    added = {"etc/environment": [], "etc/dnf/dnf.conf": []}
    for number, (happening, at) in enumerate(happenings):
        node.configure({"other": OTHER, "none": ""}.get(happening, PROXY))
        if happening in ("environment", "yum"):
            name = {"environment": "etc/environment", "yum": "etc/dnf/dnf.conf"}[happening]
            text, line = node.read(name), b"added%d=1\n" % number
            node.write(name, text + (b"" if text.endswith(b"\n") else b"\n") + line)
            added[name].append(line)
        elif happening == "revert":
            tree.run(lambda: node.run("revert"), at=at or None)
        else:
            flags = ("--set", 'node.units=["docker"]', "--once") if happening == "fewer" else ()
            tree.run(lambda flags=flags: node.run("apply", *flags), at=at or None)
    node.revert()
    left = node.tree(ours=True)
    assert node.temporaries() == []
    for name, lines in added.items():
        if lines:
            text = left[name][1].splitlines(keepends=True)
            assert [line for line in text if line.startswith(b"added")] == lines
            rest = [line.rstrip(b"\r\n") for line in text if not line.startswith(b"added")]
            assert sorted(filter(None, rest)) == sorted(
                filter(None, original[name][1].replace(b"\r", b"").split(b"\n"))
            )
            left[name] = original[name]
    assert left == original


# --- systemd
# -----------------------------------------------------------------------------------------------------------


class Live(FileSystem):
    """A tree that passes for the running machine's."""

    live = True


class Recorder(Systemd):
    """Notes what systemd is told, and what drop-ins it then sees; `fail` names a call that fails
    once.
    """

    def __init__(self, disk, fail=""):
        super().__init__(running=False)
        self.files, self.fail, self.calls = disk, fail, []

    def _note(self, *call):
        if call[0] == self.fail:
            self.fail = ""
            raise CommandError(f"systemctl {call[0]}: failed")
        self.calls.append(call)

    def reload(self):
        """Note the drop-in that systemd reads now, and whether the reload is noted as due."""
        self._note("reload", self.files.read("/" + DROP_IN), State(self.files).reload_pending)

    def enable(self, names):
        self._note("enable", *names)

    def disable(self, names):
        self._note("disable", *names)

    def start(self, names):
        self._note("start", *names)


def carry_out(plan, host):
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
    """A Machine on the tree that passes for the running one."""
    disk = Live(str(node.root))
    return Host(disk, State(disk), Recorder(disk))


def test_systemd_is_reloaded_once_after_the_last_file_and_before_the_start(live):
    """A unit that is started before the reload would not see its drop-in."""
    carry_out(PLAN, live)
    assert live.units.calls == [("enable", "docker.service"), ("reload", b"new", True), ("start", "docker.service")]
    assert not live.state.reload_pending


def test_nothing_to_do_tells_systemd_nothing(live):
    """An empty plan on a known baseline: no call at all."""
    carry_out(Plan(), live)
    assert live.units.calls == []


def test_another_tree_is_not_reloaded(node):
    """An image is built on a machine that has nothing to do with it."""
    disk = FileSystem(str(node.root))
    machine = Host(disk, State(disk), Recorder(disk))
    carry_out(PLAN, machine)
    assert machine.units.calls == [("enable", "docker.service"), ("start", "docker.service")]
    assert not machine.state.reload_pending


@pytest.mark.parametrize("call", ["enable", "reload", "start"])
def test_what_systemd_refused_is_due_until_it_is_done(live, call):
    """The files are there; the next plan is not empty, because the reload is still noted."""
    live.units.fail = call
    assert carry_out(PLAN, live).problems
    assert live.files.read("/" + DROP_IN) == b"new"
    assert live.state.reload_pending
    carry_out(PLAN, live)
    assert live.units.calls[-2:] == [("reload", b"new", True), ("start", "docker.service")]
    assert not live.state.reload_pending


def test_a_unit_that_was_enabled_is_remembered_before_it_is(live):
    """Killed in between, revert disables it all the same."""
    live.units.enable = lambda names: (_ for _ in ()).throw(Killed)
    with pytest.raises(Killed):
        carry_out(PLAN, live)
    assert live.state.baseline().enabled == ("docker.service",)


def test_a_kill_between_drop_in_and_reload_leaves_the_reload_due(live, monkeypatch):
    """At any call that changes the disk: either the drop-in is not there yet, or the need for a
    reload is noted.
    """
    for at in range(1, 100):
        shutil.rmtree(live.files.root)
        Node(Path(live.files.root).parent)
        with monkeypatch.context() as patch:
            patch.setattr(disk_module, "os", Faulty(kill, at))
            try:
                carry_out(PLAN, live)
            except Killed:
                assert live.files.read("/" + DROP_IN) is None or live.state.reload_pending or live.units.calls
            else:
                break
        live.units.calls.clear()
    assert at > 10


class Held(Recorder):
    """A systemd that refused to start docker because of the gate of "closed"."""

    def show(self, names):
        """The same of every unit."""
        return {name: UnitState(name, active="inactive", blocked=name == "docker.service") for name in names}


@pytest.fixture
def given_up(node, live):
    """A machine that was closed, and whose owner has just given up both that and the proxy."""
    config = node.directory / "config.toml"
    proxy = config.read_text()
    config.write_text(proxy + '[failure]\npolicy = "closed"\n')
    node.apply("--once")
    config.write_text(proxy.replace(PROXY, ""))
    return attrs.evolve(live, units=Held(live.files))


def test_apply_starts_what_a_gate_had_held_back_that_goes_with_the_proxy(node, given_up, monkeypatch):
    """Nobody else would start docker: its start was refused, and is not tried again."""
    monkeypatch.setattr(node_commands, "host_of", lambda arguments: given_up)
    monkeypatch.setattr(node_commands, "need_root", lambda *_: None)
    assert "started docker.service" in node.apply()
    assert given_up.units.calls[-1] == ("start", "docker.service")
    assert "started" not in node.apply()


def test_the_daemon_starts_what_a_gate_had_held_back_that_goes_with_the_proxy(node, given_up):
    """The same when the daemon sees the new settings first."""
    inputs = SettingsSources(config=str(node.directory / "config.toml"), facts=str(node.directory / "facts.json"))
    with watched() as signals:
        daemon = Daemon(given_up, inputs, lambda message: None, signals)
        static = daemon.static_settings()
        facts = ask(daemon, static)
        assert after_ready(daemon, one_pass(daemon, static, facts, Trigger.DAEMON_BOOT))
    assert given_up.units.calls[-1] == ("start", "docker.service")


def test_flags_are_kept_though_a_file_cannot_be_written(node):
    """`apply --proxy URL` with one stubborn file: what was done is told, and the daemon's next pass
    does not undo it.
    """
    node.configure("")
    (node.root / "etc/dnf/.dnf.conf.eks-proxy-agent").mkdir()  # where the temporary file would be
    code, out, err = node.run("apply", "--proxy", OTHER)
    assert code == 1
    assert "changed /etc/environment\n" in out
    assert "dnf.conf" not in out
    assert "/etc/dnf/dnf.conf: cannot be written: Is a directory" in err
    (node.root / "etc/dnf/.dnf.conf.eks-proxy-agent").rmdir()
    assert "changed /etc/dnf/dnf.conf\n" in node.apply()
    assert OTHER.encode() in node.read("etc/environment")
