"""Memory of the daemon: desired state, contested files, values missing in metadata."""

from __future__ import annotations

import json

import pytest

from agent.core.facts.instance import Facts
from agent.core.intent.intent import Intent
from agent.core.net.proxy_url import Credentials, ProxyUrl
from agent.core.plan.accepted import Accepted
from agent.core.plan.baseline import Baseline, FileState
from agent.core.plan.desired import desired_files
from agent.core.plan.drift import (
    ABSENT,
    HOUR,
    PASSES,
    REPAIRS,
    USER_DATA,
    Memory,
    debounce_facts,
    desired_digest,
    memory_from_json,
)
from agent.core.plan.files.environment import ENVIRONMENT, NODE_ENV, EnvironmentFile, render
from agent.core.plan.files.managed_file import Effect, WholeFile
from agent.core.plan.files.yum_conf import YUM_CONF
from agent.core.plan.plan import Change, Plan, digest, make_plan, make_revert
from agent.core.record import asdict, evolve
from agent.core.settings.schema import Settings
from agent.errors import FileError

PATH = "/etc/environment"
PLAN = Plan((Change(PATH, b"x", b"y"),))
DESIRED = {PATH: "as before"}
MEMORY = Memory(instance="i-0123456789abcdef0", desired=DESIRED)
ASKED = evolve(MEMORY, facts_age=0)
FACTS = Facts("i-0123456789abcdef0", "", ("10.0.0.0/16", "10.1.0.0/16"), (), "eu-west-1", "amazonaws.com", "aws")


def test_a_difference_without_a_new_desired_state_is_drift() -> None:
    """A change is drift if the desired state of the file is the same as at the last reconcile."""
    assert MEMORY.drifted(PLAN, DESIRED) == PLAN.changes
    assert MEMORY.drifted(PLAN, {PATH: "something else"}) == ()
    assert Memory().drifted(PLAN, DESIRED) == (), "nothing is known before the first reconcile since power-on"
    assert MEMORY.drifted(PLAN, {}) == (), "a restored file is no longer desired"


def test_a_failed_change_is_not_drift_when_it_succeeds_later() -> None:
    """A change that could not be written is not drift later, unless it was drift before."""
    other = Change("/etc/dnf/dnf.conf", None, b"z")
    desired = {PATH: "new", other.path: "new"}
    missed = evolve(MEMORY, desired=MEMORY.still_desired(desired, [*PLAN.changes, other]))
    assert missed.desired == DESIRED
    assert missed.drifted(Plan((*PLAN.changes, other)), desired) == ()
    assert MEMORY.drifted(PLAN, MEMORY.still_desired(DESIRED, PLAN.changes)) == PLAN.changes


def test_a_command_resets_repairs_and_contested_files() -> None:
    """After `apply` no file has repairs or is contested; later reconciles compare with it."""
    contested = evolve(MEMORY, repairs={PATH: (1.0,)}, contested={PATH: 1.0}, total=5)
    after = contested.after_command(PLAN, {PATH: "new"}, 2.0)
    assert (after.repairs, after.contested, after.desired, after.total) == ({}, {}, {PATH: "new"}, 5)


def test_a_file_is_contested_after_five_repairs_within_an_hour() -> None:
    """The last repair is still done.

    Then the file is left alone as long as its desired state does not change.
    """
    memory = MEMORY
    for number in range(REPAIRS):
        assert memory.contested_paths(DESIRED) == frozenset()
        memory = memory.after_daemon(PLAN, DESIRED, number * HOUR / REPAIRS)
    assert memory.contested_paths(DESIRED) == {PATH}
    assert memory.total == REPAIRS
    assert memory.contested_paths({PATH: "something else"}) == frozenset(), "another desired state resets it"
    assert memory.reset().contested_paths(DESIRED) == frozenset()
    quiet = memory.after_daemon(Plan(), DESIRED, 10 * HOUR)
    assert quiet.contested_paths(DESIRED) == {PATH}, "time alone does not reset it"


def test_repairs_over_more_than_an_hour_make_no_contested_file() -> None:
    """The same number of repairs over more than an hour are ordinary repairs."""
    memory = MEMORY
    for number in range(5 * REPAIRS):
        memory = memory.after_daemon(PLAN, DESIRED, number * HOUR / (REPAIRS - 1))
    assert memory.contested == {}
    assert len(memory.repairs[PATH]) < REPAIRS


def test_a_contested_file_is_reported_immediately_and_then_hourly() -> None:
    """The report is repeated once an hour and not more often."""
    memory, reported = MEMORY, []
    for _ in range(REPAIRS):
        memory = memory.after_daemon(PLAN, DESIRED, 99.5)
    for now in range(100, 100 + int(2.5 * HOUR), 600):
        due, memory = memory.due_reports(float(now))
        reported += [now] if due else []
    assert reported == [100, 3700, 7300]


def test_the_same_text_is_reported_once() -> None:
    """A new text of a kind is reported, the same text is not.

    An empty text is not reported and makes the next one new.
    """
    is_new, memory = MEMORY.report_once("stale", "docker")
    assert is_new
    assert memory.report_once("stale", "docker") == (False, memory)
    is_new, memory = memory.report_once("stale", "")
    assert not is_new
    assert memory.report_once("stale", "docker")[0]


def test_the_memory_survives_a_restart_of_the_daemon() -> None:
    """The JSON of a memory gives the same memory; invalid data is an error."""
    memory = Memory("i", {"/a": "b"}, {"/a": (1.5, 2.0)}, 3, {"/c": 4.0}, {"10.0.0.0/16": (2, 5.0)}, 1, {"x": "y"}, 6.0)
    memory = evolve(memory, accepted=Accepted({"settings": "1"}, ("a", "a,b")), credentials_source="c")
    memory = evolve(memory, credentials_due=7.0)
    valid = asdict(memory)
    assert memory_from_json(json.loads(json.dumps(valid))) == memory
    for data in (
        {},
        {"instance": 1},
        {**valid, "missing": {"x": [1]}},
        {**valid, "desired": {"../a": "b"}},
        {**valid, "accepted": {"values": 1}},
        {**valid, "credentials_due": "soon"},
    ):
        with pytest.raises(ValueError, match=r"^memory: "):
            memory_from_json(data)


def test_credentials_are_due_at_first_later_and_on_request() -> None:
    """Also those of another command."""
    memory = evolve(MEMORY, credentials_source="a", credentials_due=10.0)
    assert not memory.are_credentials_due("a", 9.9)
    assert memory.are_credentials_due("a", 10.0)
    assert memory.are_credentials_due("b", 9.9)
    assert memory.reset().are_credentials_due("a", 9.9)
    assert Memory().are_credentials_due("a", 0.0)


def test_an_upgrade_at_run_time_forgets_nothing() -> None:
    """The names that version 0.1 used for some fields are read too."""
    old = {"instance": "i", "wishes": {"/a": "b"}, "repairs": {}, "total": 3, "fought": {"/c": 4.0}, "missing": {}}
    old.update(failures=1, told={"x": "y"}, anchored=6.0)
    memory = Memory("i", {"/a": "b"}, {}, 3, {"/c": 4.0}, {}, 1, {"x": "y"}, 6.0)
    assert memory_from_json(old) == memory


@pytest.mark.parametrize("settled", [True, False])
def test_facts_are_current_for_two_cycles_after_the_request(settled: bool) -> None:
    """The third cycle requests them again, unless something is missing."""
    _, memory = debounce_facts(FACTS, FACTS, MEMORY, 0.0)
    ages = []
    for _ in range(4):
        memory = memory.record_outcome(settled=settled)
        ages.append(memory.are_facts_current(3))
    assert ages == [True, True, False, False]
    assert memory_from_json(asdict(memory)) == memory


def test_cached_facts_do_not_replace_a_request_for_what_is_missing_or_has_a_warning() -> None:
    """Missing values are counted in requests, and the cache has no warnings."""
    _, missing = debounce_facts(evolve(FACTS, vpc_cidrs_v4=("10.1.0.0/16",)), FACTS, MEMORY, 0.0)
    _, warned = debounce_facts(evolve(FACTS, warnings=("odd",)), FACTS, MEMORY, 0.0)
    for memory in (missing, warned, Memory()):
        assert not memory.are_facts_current(3)
        assert not memory.record_outcome(settled=True).are_facts_current(3)


def after_responses(*responses: tuple[float, Facts]) -> tuple[Facts, Memory]:
    """The facts and the memory after these responses of the metadata service."""
    memory, cached = MEMORY, FACTS
    for now, facts in responses:
        cached, memory = debounce_facts(facts, cached, memory, now)
    return cached, memory


def test_a_cidr_that_is_missing_once_stays() -> None:
    """When it is returned again, its absence is forgotten."""
    incomplete = evolve(FACTS, vpc_cidrs_v4=("10.1.0.0/16",))
    assert after_responses((0.0, incomplete)) == (FACTS, evolve(ASKED, missing={"10.0.0.0/16": (1, 0.0)}))
    assert after_responses((0.0, incomplete), (600.0, FACTS)) == (FACTS, ASKED)
    assert after_responses((0.0, incomplete), (600.0, FACTS), (1200.0, incomplete), (1800.0, incomplete))[0] == FACTS, (
        "counted in a row"
    )


def test_a_cidr_is_removed_after_enough_reconciles_and_enough_time() -> None:
    """Neither many quick reconciles nor a few slow ones are enough alone."""
    incomplete = evolve(FACTS, vpc_cidrs_v4=("10.1.0.0/16",))
    quick = [(number * 1.0, incomplete) for number in range(50)]
    assert after_responses(*quick)[0] == FACTS
    assert after_responses((0.0, incomplete), (ABSENT + 1, incomplete))[0] == FACTS
    assert after_responses(*[(number * ABSENT, incomplete) for number in range(PASSES)])[0] == incomplete


def test_a_new_cidr_counts_immediately_while_another_is_missing() -> None:
    """The list stays sorted by number."""
    response = evolve(FACTS, vpc_cidrs_v4=("10.1.0.0/16", "100.64.0.0/16", "9.0.0.0/16"))
    facts, _ = after_responses((0.0, response))
    assert facts.vpc_cidrs_v4 == ("9.0.0.0/16", "10.0.0.0/16", "10.1.0.0/16", "100.64.0.0/16")


def test_missing_user_data_stays_for_a_while() -> None:
    """User data may hold the settings; changed user data counts immediately."""
    cached = evolve(FACTS, user_data=b"settings")
    assert debounce_facts(FACTS, cached, MEMORY, 0.0) == (cached, evolve(ASKED, missing={USER_DATA: (1, 0.0)}))
    other = evolve(FACTS, user_data=b"others")
    assert debounce_facts(other, cached, MEMORY, 0.0) == (other, ASKED)


@pytest.mark.parametrize("cached", [None, evolve(FACTS, instance_id="i-00000000")])
def test_the_first_response_since_power_on_counts_as_it_is(cached: Facts | None) -> None:
    """There are no earlier facts of this instance to compare it with."""
    less = evolve(FACTS, vpc_cidrs_v4=())
    assert debounce_facts(less, cached, MEMORY, 0.0)[0] == less
    assert debounce_facts(less, FACTS, Memory(), 0.0) == (less, Memory(instance=FACTS.instance_id, facts_age=0))


@pytest.mark.parametrize("credentials", [None, Credentials("me", "secret")])
def test_another_proxy_changes_the_digest_of_every_file(credentials: Credentials | None) -> None:
    """This includes yum.conf, which is not created where it does not exist."""

    def desired(port: int) -> dict[str, str]:
        url = ProxyUrl("http", "proxy.corp", port)
        intent = Intent(url, url, (), credentials)
        return {file.path: desired_digest(file) for file in desired_files(Settings(), intent)}

    one, other = desired(1), desired(2)
    for path in (NODE_ENV, ENVIRONMENT, YUM_CONF):
        assert one[path] != other[path]
    assert one == desired(1)


ANCHOR = "/etc/pki/ca-trust/source/anchors/eks-proxy-agent.pem"


def test_a_new_ca_makes_older_processes_stale_and_a_repaired_one_does_not() -> None:
    """Programs read the trust store when they start.

    They already trust a certificate that was only missing for a while.
    """
    plan = Plan((Change(ANCHOR, None, b"pem", effect=Effect.TRUST_STORE),), trust=True)
    assert Memory().after_daemon(plan, {ANCHOR: "one"}, 7.0).ca_changed_at == 7.0
    assert Memory().after_command(plan, {ANCHOR: "one"}, 7.0).ca_changed_at == 7.0
    assert Memory().after_preparation(plan, {ANCHOR: "one"}, 7.0) == Memory(ca_changed_at=7.0)
    assert Memory(desired={ANCHOR: "one"}).after_daemon(plan, {ANCHOR: "two"}, 8.0).ca_changed_at == 8.0
    assert (
        Memory(desired={ANCHOR: "one"}, ca_changed_at=7.0).after_daemon(plan, {ANCHOR: "one"}, 9.0).ca_changed_at == 7.0
    )


def test_the_digest_depends_on_the_desired_state_only() -> None:
    """It depends on content and mode, and is empty for a file that cannot be merged."""

    class Refused(WholeFile):
        def merge(self, current: bytes | None) -> bytes | None:
            raise FileError("odd")

    assert desired_digest(WholeFile(PATH, b"a")) != desired_digest(WholeFile(PATH, b"b"))
    assert desired_digest(WholeFile(PATH, b"a")) != desired_digest(WholeFile(PATH, b"a", mode=0o600))
    assert desired_digest(Refused(PATH, None)) == ""


# --- what revert brings back after drift ----------------------------------------------------------

VARIABLES = (("http_proxy", "http://p:1"),)
TARGET = EnvironmentFile(VARIABLES)


def after_drift(content: bytes) -> Plan:
    """The repair of /etc/environment after another process changed it to `content`.

    Its original content is LANG=C.
    """
    first = make_plan((TARGET,), {PATH: FileState(b"LANG=C\n")}, Baseline())
    return make_plan((TARGET,), {PATH: FileState(content)}, first.baseline)


@pytest.mark.parametrize(
    ("content", "before"),
    [
        (b"LANG=C\nhttp_proxy=http://evil:1\n", b"LANG=C\n"),
        (b"http_proxy=http://evil:1\n", b""),
        (b"LANG=C\nEDITOR=vi\nhttps_proxy=x\n", b"LANG=C\nEDITOR=vi\n"),
        (b"LANG=C\n", b"LANG=C\n"),
    ],
)
def test_the_baseline_takes_lines_of_others_and_never_their_proxy(content: bytes, before: bytes) -> None:
    """After a repair, `revert` restores the file as it would be without the agent.

    Other edits of others stay, their edits of the agent's lines do not.
    """
    plan = after_drift(content)
    (change,) = plan.changes
    assert plan.baseline.files[PATH].before == before
    assert change.after is not None
    (undo,) = make_revert({PATH: FileState(change.after)}, plan.baseline).changes
    assert undo.after == before


def test_a_skipped_file_keeps_its_content_and_its_record() -> None:
    """It is neither a change nor restored."""
    first = make_plan((TARGET,), {PATH: FileState(b"LANG=C\n")}, Baseline())
    plan = make_plan((TARGET,), {PATH: FileState(b"theirs\n")}, first.baseline, skip={PATH})
    assert plan.empty
    assert plan.baseline == first.baseline
    assert digest(b"LANG=C\n" + render(VARIABLES)) in plan.baseline.files[PATH].written
