"""The Plan as data: comparison with the current files, the baseline, the revert."""

import pytest

from agent.core.intent.intent import Intent
from agent.core.net.proxy_url import Credentials, ProxyUrl
from agent.core.noproxy.entries import Entry
from agent.core.plan.baseline import Baseline, FileState, Record
from agent.core.plan.desired import desired_files, static_files
from agent.core.plan.files.ca_anchor import CaAnchor
from agent.core.plan.files.environment import ENVIRONMENT, NODE_ENV, EnvironmentFile
from agent.core.plan.files.managed_file import Effect, WholeFile
from agent.core.plan.files.systemd_dropin import GATED_UNITS, ClosedGate, EnvironmentDropin, FormerDropin
from agent.core.plan.files.yum_conf import YUM_CONF
from agent.core.plan.plan import Change, digest, make_plan, make_revert
from agent.core.plan.saved_copies import SAVED
from agent.core.record import evolve
from agent.core.settings.schema import Failure, Node, Settings
from agent.errors import FileError

PATH = "/etc/file"
DROP_IN = "/etc/systemd/system/docker.service.d/zz-eks-proxy.conf"
ABSENT = FileState()
SETTINGS = Settings(node=Node(units=("kubelet.service", "docker.service")))
INTENT = Intent(
    http_proxy=ProxyUrl("http", "proxy.corp", 3128),
    https_proxy=ProxyUrl("http", "tls.corp", 3129),
    no_proxy=(Entry("localhost", "loopback"), Entry("10.0.0.0/16", "vpc")),
    credentials=Credentials("me", "secret"),
)


def whole(content, path=PATH, mode=None):
    """A file that belongs to the agent as a whole."""
    return WholeFile(path, content, mode=mode)


def shared(path=ENVIRONMENT):
    """A file of which the agent owns some lines."""
    (file,) = (file for file in desired_files(SETTINGS, INTENT) if file.path == path)
    return file


class Refused(WholeFile):
    """A file that cannot be merged."""

    def merge(self, current):
        raise FileError("line 1 is odd")


def applied(plan, states):
    """The states after a plan was applied."""
    after = {}
    for change in plan.changes:
        mode = change.mode if change.mode is not None else states.get(change.path, ABSENT).mode
        after[change.path] = ABSENT if change.after is None else FileState(change.after, mode)
    return {**states, **after}


# --- desired files --------------------------------------------------------------------------------


def test_without_an_intent_no_file_is_desired():
    """Settings without a proxy are valid; a baked image keeps its drop-ins."""
    assert desired_files(SETTINGS, None) == ()
    assert [file.path for file in desired_files(SETTINGS, None, baked=True)] == [
        file.path for file in static_files(SETTINGS, None)
    ]


def test_node_env_comes_first_and_old_drop_ins_last():
    """docker's proxy is written before the drop-in that makes docker read it.

    A drop-in that another one replaces comes after that one.
    """
    files = desired_files(SETTINGS, INTENT)
    paths = [file.path for file in files]
    assert paths[:3] == [NODE_ENV, ENVIRONMENT, YUM_CONF]
    drop_ins = [EnvironmentDropin.path_of(unit) for unit in ("docker.service", "kubelet.service")]
    assert [path for path in paths if path in drop_ins] == drop_ins
    replaced = {file.path.rpartition("/")[2] for file in files if file.replaced_by}
    assert replaced == {"90-eks-proxy.conf", "proxy.conf", "http-proxy.conf"}
    for index, file in enumerate(files):
        assert not file.replaced_by or file.replaced_by in paths[:index]


def test_credentials_are_in_node_env_only():
    """node.env has mode 0600."""
    files = {file.path: file for file in desired_files(SETTINGS, INTENT)}
    assert b"secret" in files[NODE_ENV].merge(None)
    assert files[NODE_ENV].mode == 0o600
    for path, file in files.items():
        if path != NODE_ENV:
            assert b"secret" not in (file.merge(None) or b"")
            assert file.mode is None


def test_files_can_be_switched_off():
    """node.environment and node.yum can be switched off; node.env cannot."""
    settings = Settings(node=Node(units=(), environment=False, yum=False))
    assert [file.path for file in desired_files(settings, INTENT) if file.merge(None) is not None] == [NODE_ENV]


def test_yum_gets_the_https_proxy():
    """yum has one proxy for all repositories, and those of Amazon Linux 2023 are https."""
    assert shared(YUM_CONF).merge(None) == b"[main]\nproxy=http://tls.corp:3129\n"


def test_without_yum_its_file_is_edited_and_not_created():
    """The file of a node without yum and dnf belongs to someone else."""
    files = {file.path: file for file in desired_files(SETTINGS, INTENT, needs_yum_conf=False)}
    assert [path for path, file in files.items() if file.merge(None) is not None and "yum" in path] == []
    assert files[YUM_CONF].merge(b"[main]\n") == b"[main]\nproxy=http://tls.corp:3129\n"


def test_policy_closed_gates_the_runtimes():
    """The gates are separate drop-ins, also for units that are not in node.units."""
    paths = [file.path for file in static_files(evolve(SETTINGS, failure=Failure(policy="closed")), None)]
    assert [path for path in paths if "91-" in path] == [ClosedGate.path_of(unit) for unit in GATED_UNITS]
    assert [path for path in paths if "91-" not in path] == [file.path for file in static_files(SETTINGS, None)]


# --- comparison -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "state", "changed"),
    [
        (whole(b"new"), FileState(b"new"), False),
        (whole(b"new"), FileState(b"new", 0o600), False),
        (whole(b"new", mode=0o600), FileState(b"new", 0o600), False),
        (whole(b"new", mode=0o600), FileState(b"new", 0o644), True),
        (whole(b"new", mode=0o600), FileState(b"new", 0o600, is_foreign=True), True),
        (whole(b"new"), FileState(b"new", 0o666), True),
        (whole(b"new"), FileState(b"new", 0o664), True),
        (whole(b"new"), FileState(b"new", 0o4755), True),
        (whole(b"new"), FileState(b"new", is_foreign=True), True),
        (whole(b"new"), FileState(b"old"), True),
        (whole(b"new"), ABSENT, True),
        (whole(b""), ABSENT, True),
        (whole(None), ABSENT, False),
        (whole(None), FileState(b"old"), True),
    ],
)
def test_equal_content_and_mode_is_not_a_change(file, state, changed):
    """There is nothing to do, and nothing to record for revert."""
    plan = make_plan((file,), {PATH: state}, Baseline())
    assert plan.empty is not changed
    assert plan.baseline == (Baseline({PATH: plan.baseline.files[PATH]}) if changed else Baseline())


@pytest.mark.parametrize(
    ("file", "effects"),
    [
        (EnvironmentDropin("docker.service"), (True, False)),
        (ClosedGate("docker.service", "/elsewhere"), (True, False)),
        (CaAnchor("/elsewhere", b"new"), (False, True)),
        (whole(b"new"), (False, False)),
        (whole(b"new", DROP_IN), (False, False)),
    ],
)
def test_only_drop_ins_and_certificates_have_an_effect(file, effects):
    """The class of a file decides, and not its path.

    A reload of systemd costs 90 ms and runs all generators.
    """
    plan = make_plan((file,), {file.path: ABSENT}, Baseline())
    assert (plan.reload, plan.trust) == effects
    states = {file.path: FileState(file.merge(None))}
    assert make_plan((file,), states, Baseline()).empty
    undone = make_revert(states, plan.baseline)
    assert (undone.reload, undone.trust) == effects


def test_a_created_file_is_removed_when_it_becomes_empty():
    """A file that existed before the agent stays, even if it is empty."""
    created, existing = Record("environment", None), Record("environment", b"")
    for record, after in ((created, None), (existing, b"")):
        plan = make_plan(
            (EnvironmentFile(None),), {ENVIRONMENT: FileState(b"http_proxy=x\n")}, Baseline({ENVIRONMENT: record})
        )
        assert [change.after for change in plan.changes] == [after]


def test_a_pending_reload_is_part_of_the_next_plan():
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
    """It is a problem, is not changed, and is not recorded."""
    plan = make_plan((file, whole(b"new", "/etc/z")), {PATH: state, "/etc/z": ABSENT}, Baseline())
    assert plan.problems == (problem,)
    assert [change.path for change in plan.changes] == ["/etc/z"]
    assert set(plan.baseline.files) == {"/etc/z"}


def test_changes_come_in_the_order_of_the_files():
    """The files are listed by importance."""
    names = ["/etc/c", "/etc/a", "/etc/b"]
    plan = make_plan(tuple(whole(b"1", name) for name in names), dict.fromkeys(names, ABSENT), Baseline())
    assert [change.path for change in plan.changes] == names


# --- baseline -------------------------------------------------------------------------------------


def test_the_first_change_records_the_original():
    """The record has content, mode, kind, and a digest of the new content."""
    plan = make_plan((whole(b"new"),), {PATH: FileState(b"old", 0o640)}, Baseline())
    assert plan.baseline.files == {PATH: Record("whole", b"old", 0o640, (digest(b"new"),))}


def test_later_changes_keep_the_original():
    """The number of changes of the Intent does not matter."""
    states, baseline = {PATH: FileState(b"old")}, Baseline()
    for content in (b"1", b"2", b"3"):
        plan = make_plan((whole(content),), states, baseline)
        states, baseline = applied(plan, states), plan.baseline
    assert baseline.files[PATH].before == b"old"
    assert applied(make_revert(states, baseline), states) == {PATH: FileState(b"old")}


@pytest.mark.parametrize("kills", [1, 2, 3])
def test_a_record_is_valid_after_any_number_of_kills(kills):
    """Content on disk is recognized as the agent's.

    Other contents were recorded since, but never written.
    """
    file = shared()
    states, baseline = {ENVIRONMENT: FileState(b"A=1\nhttp_proxy=old\nB=2")}, Baseline()
    original = states
    plan = make_plan((file,), states, baseline)
    states, baseline = applied(plan, states), plan.baseline
    for number in range(kills):
        other = EnvironmentFile((("http_proxy", str(number)),))
        baseline = make_plan((other,), states, baseline).baseline
    assert applied(make_revert(states, baseline), states) == original


@pytest.mark.parametrize("after", [b"new", None])
def test_the_original_is_not_recorded_as_written(after):
    """A run that was killed before the write, and its rerun, leave the record of one run."""
    file, states = whole(after), {PATH: FileState(b"old")}
    killed = make_plan((file,), states, Baseline()).baseline
    assert make_plan((file,), states, killed).baseline == killed


@pytest.mark.parametrize("path", [ENVIRONMENT, YUM_CONF])
def test_edits_of_others_become_part_of_the_original(path):
    """Lines that others added between two reconciles stay after revert; the agent's do not."""
    before = {ENVIRONMENT: b"A=1\n", YUM_CONF: b"[main]\nbest=True\n"}[path]
    states, baseline = {path: FileState(before)}, Baseline()
    plan = make_plan((shared(path),), states, baseline)
    states, baseline = applied(plan, states), plan.baseline
    edited = states[path].content.replace(b"tls.corp", b"mine.corp") + b"added=1\n"
    states = {path: FileState(edited)}
    plan = make_plan((shared(path),), states, baseline)
    states, baseline = applied(plan, states), plan.baseline
    assert b"tls.corp" in states[path].content
    assert b"mine.corp" not in states[path].content
    assert applied(make_revert(states, baseline), states)[path].content == before + b"added=1\n"


@pytest.mark.parametrize(("path", "emptied"), [(ENVIRONMENT, b"http_proxy=x\n"), (ENVIRONMENT, b""), (YUM_CONF, b"\n")])
def test_a_created_file_that_others_emptied_is_removed(path, emptied):
    """It holds no content of others: revert leaves no empty file."""
    plan = make_plan((shared(path),), {path: ABSENT}, Baseline())
    states = {path: FileState(emptied)}
    plan = make_plan((shared(path),), states, plan.baseline)
    states = applied(plan, states)
    assert b"tls.corp" in states[path].content
    assert applied(make_revert(states, plan.baseline), states)[path] == ABSENT


# --- files that replace others --------------------------------------------------------------------

FORMER = FormerDropin.path_of("docker.service")
OLD_TEXT = b"# Written by an earlier version.\n"
#: What an earlier version left: its drop-in, and the record of it.
OLD_STATES = {DROP_IN: ABSENT, FORMER: FileState(OLD_TEXT)}
OLD_BASELINE = Baseline({FORMER: Record("drop-in", None, 0o644, (digest(OLD_TEXT),))})
UNITS_FILES = static_files(Settings(node=Node(units=("docker.service",))), None)


def test_a_renamed_drop_in_is_written_before_the_old_one_is_removed():
    """One plan with one reload; nothing is left to revert of the old one."""
    plan = make_plan(UNITS_FILES, OLD_STATES, OLD_BASELINE)
    assert [(change.path, change.after is None, change.requires) for change in plan.changes] == [
        (DROP_IN, False, ""),
        (FORMER, True, DROP_IN),
    ]
    assert (plan.reload, plan.notes, set(plan.baseline.files)) == (True, (), {DROP_IN})
    states = applied(plan, OLD_STATES)
    assert make_plan(UNITS_FILES, states, plan.baseline).empty
    assert applied(make_revert(states, plan.baseline), states) == {DROP_IN: ABSENT, FORMER: ABSENT}


def test_an_interrupted_rename_is_completed():
    """A kill came after one of the two steps; the baseline has both records."""
    both = make_plan(UNITS_FILES, OLD_STATES, OLD_BASELINE).baseline.files
    baseline = Baseline({**OLD_BASELINE.files, **both})
    new = FileState(EnvironmentDropin("docker.service").merge(None))
    for states, changes in (
        (OLD_STATES, [DROP_IN, FORMER]),
        ({DROP_IN: new, FORMER: FileState(OLD_TEXT)}, [FORMER]),
        ({DROP_IN: new, FORMER: ABSENT}, []),
    ):
        plan = make_plan(UNITS_FILES, states, baseline)
        assert [change.path for change in plan.changes] == changes
        assert set(plan.baseline.files) == {DROP_IN}
        assert {state.content for state in applied(make_revert(states, baseline), states).values()} == {None}


@pytest.mark.parametrize(
    ("state", "skip"), [(FileState(problem="is a directory"), ()), (ABSENT, (DROP_IN,))], ids=["problem", "contested"]
)
def test_an_old_drop_in_stays_while_the_new_one_is_missing(state, skip):
    """Without either of them the unit would have no proxy."""
    plan = make_plan(UNITS_FILES, {**OLD_STATES, DROP_IN: state}, OLD_BASELINE, skip=skip)
    assert plan.changes == ()
    assert plan.baseline == OLD_BASELINE


# --- restore --------------------------------------------------------------------------------------


def test_a_file_that_is_no_longer_desired_is_restored():
    """A unit was removed from node.units: its drop-in and its record are removed."""
    drop_in = EnvironmentDropin("docker.service")
    plan = make_plan((drop_in, whole(b"1")), {DROP_IN: ABSENT, PATH: ABSENT}, Baseline())
    states = applied(plan, {})
    plan = make_plan((whole(b"1"),), states, plan.baseline)
    assert plan.changes == (Change(DROP_IN, drop_in.merge(None), None, effect=Effect.DAEMON_RELOAD),)
    assert plan.reload
    assert set(plan.baseline.files) == {PATH}


def test_an_incomplete_plan_restores_nothing():
    """The drop-ins are written before the rest is known."""
    baseline = Baseline({PATH: Record("whole", b"old", 0o644, (digest(b"1"),))})
    plan = make_plan((), {PATH: FileState(b"1")}, baseline, complete=False)
    assert plan.empty
    assert plan.baseline == baseline


@pytest.mark.parametrize(
    ("record", "state", "changes"),
    [
        # content of the agent: the original content and mode come back
        (Record("whole", None, 0o644, (digest(b"1"),)), FileState(b"1"), [Change(PATH, b"1", None)]),
        (Record("whole", b"old", 0o644, (digest(b"1"),)), FileState(b"1", 0o600), [Change(PATH, b"1", b"old", 0o644)]),
        (Record("whole", b"1", 0o640, (digest(b"1"),)), FileState(b"1", 0o600), [Change(PATH, b"1", b"1", 0o640)]),
        # never written, or restored by others
        (Record("whole", b"old", 0o644, (digest(b"1"),)), FileState(b"old"), []),
        (Record("whole", None, 0o644, (digest(b"1"),)), ABSENT, []),
        # deleted by others
        (Record("whole", b"old", 0o640, (digest(b"1"),)), ABSENT, [Change(PATH, None, b"old", 0o640)]),
        (Record("environment", b"A=1\n", 0o600, (digest(b"1"),)), ABSENT, [Change(PATH, None, b"A=1\n", 0o600)]),
        # removed by the agent: it comes back
        (Record("whole", b"old", 0o640, ()), ABSENT, [Change(PATH, None, b"old", 0o640)]),
        # edited by others: a copy of a whole file is kept, their lines stay
        (
            Record("whole", b"old", 0o644, (digest(b"1"),)),
            FileState(b"2", 0o600),
            [Change(PATH + SAVED, None, b"2", 0o600), Change(PATH, b"2", b"old", 0o644, requires=PATH + SAVED)],
        ),
        (
            Record("whole", None, 0o644, (digest(b"1"),)),
            FileState(b"2"),
            [Change(PATH + SAVED, None, b"2", 0o644), Change(PATH, b"2", None, requires=PATH + SAVED)],
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
def test_restore(record, state, changes):
    """The original is restored, and edits of others are never lost.

    A file that is already restored is not a change.
    """
    plan = make_revert({PATH: state}, Baseline({PATH: record}))
    assert [
        evolve(change, mode=change.mode if change.after is not None else None) for change in plan.changes
    ] == changes
    assert plan.baseline == Baseline()
    assert plan.problems == ()
    assert bool(plan.notes) is (state.content not in (None, b"1", record.before))


@pytest.mark.parametrize(
    ("existing", "name"),
    [
        ({}, PATH + SAVED),
        ({PATH + SAVED: FileState(b"other")}, PATH + SAVED + ".2"),
        ({PATH + SAVED: FileState(problem="is a directory")}, PATH + SAVED + ".2"),
        ({PATH + SAVED: FileState(b"other"), PATH + SAVED + ".2": FileState(b"more")}, PATH + SAVED + ".3"),
    ],
)
def test_a_copy_does_not_overwrite_a_file(existing, name):
    """A file with that name may be a copy of an earlier revert."""
    baseline = Baseline({PATH: Record("whole", b"old", 0o644, (digest(b"1"),))})
    plan = make_revert({PATH: FileState(b"2"), **existing}, baseline)
    assert [change.path for change in plan.changes] == [name, PATH]
    assert name in plan.notes[0]


def test_an_existing_copy_is_not_written_again():
    """A run may have been killed between the copy and the original."""
    baseline = Baseline({PATH: Record("whole", b"old", 0o644, (digest(b"1"),))})
    existing = {PATH + SAVED: FileState(b"other"), PATH + SAVED + ".2": FileState(b"2")}
    plan = make_revert({PATH: FileState(b"2"), **existing}, baseline)
    assert [change.path for change in plan.changes] == [PATH]
    assert PATH + SAVED + ".2" in plan.notes[0]


@pytest.mark.parametrize("state", [FileState(problem="is a directory"), FileState(b"A='")])
def test_a_failed_restore_keeps_its_record(state):
    """A later revert can still restore the file."""
    baseline = Baseline({PATH: Record("environment", b"A=1\n", 0o644, (digest(b"1"),))})
    plan = make_revert({PATH: state}, baseline)
    assert plan.changes == ()
    assert plan.baseline == baseline
    (problem,) = plan.problems
    assert problem.startswith("/etc/file: ")


def test_revert_disables_enabled_units():
    """It does so once, with a reload: the baseline forgets them."""
    plan = make_revert({}, Baseline(enabled=("docker.service",)))
    assert plan.disable == ("docker.service",)
    assert plan.reload
    assert plan.baseline == Baseline()


def test_repr_contains_no_content():
    """A failed assertion or a logged plan must not show a password of node.env."""
    plan = make_plan((whole(b"secret"),), {PATH: FileState(b"secret2")}, Baseline())
    assert "secret" not in repr(plan)
    assert "secret" not in repr(FileState(b"secret"))
