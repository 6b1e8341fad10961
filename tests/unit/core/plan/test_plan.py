"""The Plan as data: what is compared with what, what is remembered, what is taken back."""

import attrs
import pytest

from agent.core.intent.intent import Intent
from agent.core.net.proxy_url import Credentials, ProxyUrl
from agent.core.noproxy.entries import Entry
from agent.core.plan.desired import desired_files, static_files
from agent.core.plan.files.ca_anchor import CaAnchor
from agent.core.plan.files.environment import ENVIRONMENT, NODE_ENV, EnvironmentFile
from agent.core.plan.files.managed_file import Effect, WholeFile
from agent.core.plan.files.systemd_dropin import GATED_UNITS, ClosedGate, EnvironmentDropin
from agent.core.plan.files.yum_conf import YUM_CONF
from agent.core.plan.plan import SAVED, Baseline, Change, FileState, Record, digest, make_plan, make_revert
from agent.core.settings.schema import Failure, Node, Settings
from agent.errors import FileError

PATH = "/etc/file"
DROP_IN = "/etc/systemd/system/docker.service.d/90-eks-proxy.conf"
ABSENT = FileState()
SETTINGS = Settings(node=Node(units=("kubelet.service", "docker.service")))
INTENT = Intent(
    http_proxy=ProxyUrl("http", "proxy.corp", 3128),
    https_proxy=ProxyUrl("http", "tls.corp", 3129),
    no_proxy=(Entry("localhost", "loopback"), Entry("10.0.0.0/16", "vpc")),
    credentials=Credentials("me", "secret"),
)


def whole(content, path=PATH, mode=None):
    """A file that is wholly ours."""
    return WholeFile(path, content, mode=mode)


def shared(path=ENVIRONMENT):
    """A file of which some lines are ours."""
    (file,) = (found for found in desired_files(SETTINGS, INTENT) if found.path == path)
    return file


class Refused(WholeFile):
    """A file that cannot be merged."""

    def merge(self, current):
        raise FileError("line 1 is odd")


def carried_out(plan, states):
    """The states after a plan was carried out."""
    after = {}
    for change in plan.changes:
        mode = change.mode if change.mode is not None else states.get(change.path, ABSENT).mode
        after[change.path] = ABSENT if change.after is None else FileState(change.after, mode)
    return {**states, **after}


# --- what is wanted
# ---------------------------------------------------------------------------------------------------


def test_without_an_intent_nothing_is_wanted():
    """No proxy in the settings is a valid state; an image that was baked keeps its drop-ins."""
    assert desired_files(SETTINGS, None) == ()
    assert [file.path for file in desired_files(SETTINGS, None, baked=True)] == [
        file.path for file in static_files(SETTINGS, None)
    ]


def test_node_env_comes_first_and_the_drop_ins_last():
    """What docker's proxy hangs on is written before what makes docker look at it."""
    paths = [file.path for file in desired_files(SETTINGS, INTENT)]
    assert paths[:3] == [NODE_ENV, ENVIRONMENT, YUM_CONF]
    assert paths[-2:] == [EnvironmentDropin.path_of(unit) for unit in ("docker.service", "kubelet.service")]


def test_credentials_are_in_node_env_only():
    """And that is private."""
    wanted = {file.path: file for file in desired_files(SETTINGS, INTENT)}
    assert b"secret" in wanted[NODE_ENV].merge(None)
    assert wanted[NODE_ENV].mode == 0o600
    for path, file in wanted.items():
        if path != NODE_ENV:
            assert b"secret" not in (file.merge(None) or b"")
            assert file.mode is None


def test_files_can_be_left_out():
    """node.environment and node.yum are the owner's to switch off; node.env is not."""
    settings = Settings(node=Node(units=(), environment=False, yum=False))
    assert [file.path for file in desired_files(settings, INTENT) if file.merge(None) is not None] == [NODE_ENV]


def test_yum_gets_the_http_proxy():
    """Which it uses for https repositories too."""
    assert shared(YUM_CONF).merge(None) == b"[main]\nproxy=http://proxy.corp:3128\n"


def test_policy_closed_gates_the_runtimes():
    """By drop-ins of their own, also for units that are not in node.units."""
    paths = [file.path for file in static_files(attrs.evolve(SETTINGS, failure=Failure(policy="closed")), None)]
    assert [path for path in paths if "91-" in path] == [ClosedGate.path_of(unit) for unit in GATED_UNITS]
    assert [path for path in paths if "90-" in path] == [file.path for file in static_files(SETTINGS, None)]


# --- comparing
# --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "state", "changed"),
    [
        (whole(b"new"), FileState(b"new"), False),
        (whole(b"new"), FileState(b"new", 0o600), False),
        (whole(b"new", mode=0o600), FileState(b"new", 0o600), False),
        (whole(b"new", mode=0o600), FileState(b"new", 0o644), True),
        (whole(b"new"), FileState(b"old"), True),
        (whole(b"new"), ABSENT, True),
        (whole(b""), ABSENT, True),
        (whole(None), ABSENT, False),
        (whole(None), FileState(b"old"), True),
    ],
)
def test_what_is_so_already_is_no_change(file, state, changed):
    """Equal content and mode: nothing to do, and nothing to remember for revert."""
    plan = make_plan((file,), {PATH: state}, Baseline())
    assert plan.empty is not changed
    assert plan.baseline == (Baseline({PATH: plan.baseline.files[PATH]}) if changed else Baseline())


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (EnvironmentDropin("docker.service"), (True, False)),
        (ClosedGate("docker.service", "/elsewhere"), (True, False)),
        (CaAnchor("/elsewhere", b"new"), (False, True)),
        (whole(b"new"), (False, False)),
        (whole(b"new", DROP_IN), (False, False)),
    ],
)
def test_the_machine_is_told_of_drop_ins_and_certificates_only(file, told):
    """A reload of systemd costs 90 ms and runs all generators: the class of a file says it,
    wherever it lies.
    """
    plan = make_plan((file,), {file.path: ABSENT}, Baseline())
    assert (plan.reload, plan.trust) == told
    states = {file.path: FileState(file.merge(None))}
    assert make_plan((file,), states, Baseline()).empty
    undone = make_revert(states, plan.baseline)
    assert (undone.reload, undone.trust) == told


def test_nothing_left_of_a_file_that_we_made_is_no_file():
    """A file that was there before us stays, though it is empty."""
    made, found = Record("environment", None), Record("environment", b"")
    for record, after in ((made, None), (found, b"")):
        plan = make_plan(
            (EnvironmentFile(None),), {ENVIRONMENT: FileState(b"http_proxy=x\n")}, Baseline({ENVIRONMENT: record})
        )
        assert [change.after for change in plan.changes] == [after]


def test_a_reload_that_is_due_is_made_up_for():
    """A run that was killed before its reload leaves a plan that is not empty."""
    plan = make_plan((), {}, Baseline(), reload_pending=True)
    assert plan.reload
    assert not plan.empty


@pytest.mark.parametrize(
    ("file", "state", "problem"),
    [
        (whole(b"new"), FileState(problem="is a directory"), "/etc/file: is a directory"),
        (Refused(PATH, None), FileState(b"old"), "/etc/file: line 1 is odd"),
    ],
)
def test_a_file_that_cannot_be_planned_holds_up_no_other(file, state, problem):
    """It is named, left alone, and not recorded."""
    plan = make_plan((file, whole(b"new", "/etc/z")), {PATH: state, "/etc/z": ABSENT}, Baseline())
    assert plan.problems == (problem,)
    assert [change.path for change in plan.changes] == ["/etc/z"]
    assert set(plan.baseline.files) == {"/etc/z"}


def test_changes_come_in_the_order_of_the_files():
    """Which is the order of their weight."""
    names = ["/etc/c", "/etc/a", "/etc/b"]
    plan = make_plan(tuple(whole(b"1", name) for name in names), dict.fromkeys(names, ABSENT), Baseline())
    assert [change.path for change in plan.changes] == names


# --- remembering
# ------------------------------------------------------------------------------------------------------


def test_the_first_change_remembers_the_original():
    """Content, mode, kind, and what is about to be written."""
    plan = make_plan((whole(b"new"),), {PATH: FileState(b"old", 0o640)}, Baseline())
    assert plan.baseline.files == {PATH: Record("whole", b"old", 0o640, (digest(b"new"),))}


def test_later_changes_keep_the_original():
    """However often the Intent changes."""
    states, baseline = {PATH: FileState(b"old")}, Baseline()
    for content in (b"1", b"2", b"3"):
        plan = make_plan((whole(content),), states, baseline)
        states, baseline = carried_out(plan, states), plan.baseline
    assert baseline.files[PATH].before == b"old"
    assert carried_out(make_revert(states, baseline), states) == {PATH: FileState(b"old")}


@pytest.mark.parametrize("kills", [1, 2, 3])
def test_a_record_holds_for_any_number_of_kills_before_the_write(kills):
    """Recorded again and again for other contents and never written, what is on the disk is still
    known for ours.
    """
    file = shared()
    states, baseline = {ENVIRONMENT: FileState(b"A=1\nhttp_proxy=old\nB=2")}, Baseline()
    original = states
    plan = make_plan((file,), states, baseline)
    states, baseline = carried_out(plan, states), plan.baseline
    for number in range(kills):
        other = EnvironmentFile((("http_proxy", str(number)),))
        baseline = make_plan((other,), states, baseline).baseline
    assert carried_out(make_revert(states, baseline), states) == original


@pytest.mark.parametrize("path", [ENVIRONMENT, YUM_CONF])
def test_edits_of_others_become_part_of_the_original(path):
    """What somebody added between two passes is there after revert, and our lines are not."""
    before = {ENVIRONMENT: b"A=1\n", YUM_CONF: b"[main]\nbest=True\n"}[path]
    states, baseline = {path: FileState(before)}, Baseline()
    plan = make_plan((shared(path),), states, baseline)
    states, baseline = carried_out(plan, states), plan.baseline
    edited = states[path].content.replace(b"proxy.corp", b"mine.corp") + b"added=1\n"
    states = {path: FileState(edited)}
    plan = make_plan((shared(path),), states, baseline)
    states, baseline = carried_out(plan, states), plan.baseline
    assert b"proxy.corp" in states[path].content
    assert b"mine.corp" not in states[path].content
    assert carried_out(make_revert(states, baseline), states)[path].content == before + b"added=1\n"


@pytest.mark.parametrize(("path", "emptied"), [(ENVIRONMENT, b"http_proxy=x\n"), (ENVIRONMENT, b""), (YUM_CONF, b"\n")])
def test_a_file_that_we_made_goes_though_somebody_emptied_it(path, emptied):
    """Nothing of anybody's is in it: after revert there is no file, and not an empty one."""
    plan = make_plan((shared(path),), {path: ABSENT}, Baseline())
    states = {path: FileState(emptied)}
    plan = make_plan((shared(path),), states, plan.baseline)
    states = carried_out(plan, states)
    assert b"proxy.corp" in states[path].content
    assert carried_out(make_revert(states, plan.baseline), states)[path] == ABSENT


# --- taking back
# ------------------------------------------------------------------------------------------------------


def test_what_is_wanted_no_longer_is_taken_back():
    """A unit left node.units: its drop-in goes, and with it the record."""
    drop_in = EnvironmentDropin("docker.service")
    plan = make_plan((drop_in, whole(b"1")), {DROP_IN: ABSENT, PATH: ABSENT}, Baseline())
    states = carried_out(plan, {})
    plan = make_plan((whole(b"1"),), states, plan.baseline)
    assert plan.changes == (Change(DROP_IN, drop_in.merge(None), None, effect=Effect.DAEMON_RELOAD),)
    assert plan.reload
    assert set(plan.baseline.files) == {PATH}


def test_an_incomplete_plan_takes_nothing_back():
    """The drop-ins are written before the rest is known."""
    baseline = Baseline({PATH: Record("whole", b"old", 0o644, (digest(b"1"),))})
    plan = make_plan((), {PATH: FileState(b"1")}, baseline, complete=False)
    assert plan.empty
    assert plan.baseline == baseline


@pytest.mark.parametrize(
    ("record", "state", "changes"),
    [
        # ours: the original, bytes and mode
        (Record("whole", None, 0o644, (digest(b"1"),)), FileState(b"1"), [Change(PATH, b"1", None)]),
        (Record("whole", b"old", 0o644, (digest(b"1"),)), FileState(b"1", 0o600), [Change(PATH, b"1", b"old", 0o644)]),
        (Record("whole", b"1", 0o640, (digest(b"1"),)), FileState(b"1", 0o600), [Change(PATH, b"1", b"1", 0o640)]),
        # never written, or put back by somebody
        (Record("whole", b"old", 0o644, (digest(b"1"),)), FileState(b"old"), []),
        (Record("whole", None, 0o644, (digest(b"1"),)), ABSENT, []),
        # deleted by somebody
        (Record("whole", b"old", 0o640, (digest(b"1"),)), ABSENT, [Change(PATH, None, b"old", 0o640)]),
        (Record("environment", b"A=1\n", 0o600, (digest(b"1"),)), ABSENT, [Change(PATH, None, b"A=1\n", 0o600)]),
        # what we removed comes back
        (Record("whole", b"old", 0o640, ()), ABSENT, [Change(PATH, None, b"old", 0o640)]),
        # edited by somebody: a whole file is kept beside, lines stay
        (
            Record("whole", b"old", 0o644, (digest(b"1"),)),
            FileState(b"2", 0o600),
            [Change(PATH + SAVED, None, b"2", 0o600), Change(PATH, b"2", b"old", 0o644)],
        ),
        (
            Record("whole", None, 0o644, (digest(b"1"),)),
            FileState(b"2"),
            [Change(PATH + SAVED, None, b"2", 0o644), Change(PATH, b"2", None)],
        ),
        (
            Record("environment", b"A=1\nhttp_proxy=old\n", 0o644, (digest(b"1"),)),
            FileState(b"A=1\nB=2\nhttp_proxy=x\n", 0o600),
            [Change(PATH, b"A=1\nB=2\nhttp_proxy=x\n", b"A=1\nB=2\nhttp_proxy=old\n")],
        ),
        (
            Record("environment", None, 0o644, (digest(b"1"),)),
            FileState(b"http_proxy=x\n\n"),
            [Change(PATH, b"http_proxy=x\n\n", None)],
        ),
    ],
)
def test_taking_back(record, state, changes):
    """The original comes back, edits of others are never lost, and what is so already is no
    change.
    """
    plan = make_revert({PATH: state}, Baseline({PATH: record}))
    assert [
        attrs.evolve(change, mode=change.mode if change.after is not None else None) for change in plan.changes
    ] == changes
    assert plan.baseline == Baseline()
    assert plan.problems == ()
    assert bool(plan.notes) is (state.content not in (None, b"1", record.before))


@pytest.mark.parametrize(
    ("there", "name"),
    [
        ({}, PATH + SAVED),
        ({PATH + SAVED: FileState(b"other")}, PATH + SAVED + ".2"),
        ({PATH + SAVED: FileState(problem="is a directory")}, PATH + SAVED + ".2"),
        ({PATH + SAVED: FileState(b"other"), PATH + SAVED + ".2": FileState(b"more")}, PATH + SAVED + ".3"),
    ],
)
def test_a_copy_takes_no_name_that_is_taken(there, name):
    """Copies of earlier reverts are somebody's, as is whatever else has that name."""
    baseline = Baseline({PATH: Record("whole", b"old", 0o644, (digest(b"1"),))})
    plan = make_revert({PATH: FileState(b"2"), **there}, baseline)
    assert [change.path for change in plan.changes] == [name, PATH]
    assert name in plan.notes[0]


def test_a_copy_that_is_there_already_is_not_made_twice():
    """As after a run that was killed between the copy and the original."""
    baseline = Baseline({PATH: Record("whole", b"old", 0o644, (digest(b"1"),))})
    there = {PATH + SAVED: FileState(b"other"), PATH + SAVED + ".2": FileState(b"2")}
    plan = make_revert({PATH: FileState(b"2"), **there}, baseline)
    assert [change.path for change in plan.changes] == [PATH]
    assert PATH + SAVED + ".2" in plan.notes[0]


@pytest.mark.parametrize("state", [FileState(problem="is a directory"), FileState(b"\xff")])
def test_what_cannot_be_taken_back_is_remembered(state):
    """A later revert can do it still."""
    baseline = Baseline({PATH: Record("environment", b"A=1\n", 0o644, (digest(b"1"),))})
    plan = make_revert({PATH: state}, baseline)
    assert plan.changes == ()
    assert plan.baseline == baseline
    (problem,) = plan.problems
    assert problem.startswith("/etc/file: ")


def test_revert_disables_what_was_enabled():
    """With a reload, and once: the baseline forgets it."""
    plan = make_revert({}, Baseline(enabled=("docker.service",)))
    assert plan.disable == ("docker.service",)
    assert plan.reload
    assert plan.baseline == Baseline()


def test_contents_are_in_no_representation():
    """A failed assertion or a logged plan must not show what a file held: node.env has a
    password.
    """
    plan = make_plan((whole(b"secret"),), {PATH: FileState(b"secret2")}, Baseline())
    assert "secret" not in repr(plan)
    assert "secret" not in repr(FileState(b"secret"))
