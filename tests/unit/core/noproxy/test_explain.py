"""Which way a request goes, and how it is printed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.noproxy.dialects.families import DIALECTS
from agent.core.noproxy.dialects.request import parse_request
from agent.core.noproxy.entries import Entry, compose, parse_operator_entry, spellings
from agent.core.noproxy.explain import (
    BUILT_IN,
    FOREIGN,
    UNNAMED,
    Values,
    disagree,
    needs_literal,
    of_entries,
    printable,
    titles,
    variables,
    variables_in,
    ways,
)
from agent.core.noproxy.explain_view import matrix_head, matrix_row, objects, paragraph, problem, why

PROXY = "http://proxy.corp:3128"
TARGETS = st.one_of(
    st.text(max_size=60),
    st.from_regex(r"(https?://)?([a-z0-9-]{1,5}\.){0,3}[a-z]{1,3}(:[0-9]{1,5})?", fullmatch=True),
    st.ip_addresses().map(lambda address: f"https://[{address}]" if address.version == 6 else str(address)),
)
LISTS = st.one_of(st.text(max_size=60), st.lists(TARGETS, max_size=5).map(",".join))


def values(no_proxy, https_proxy=PROXY):
    """Values with a list that was given."""
    return Values(variables(PROXY, https_proxy, no_proxy))


def explained(text, known):
    """Target and ways of a text."""
    target = parse_request(text)
    return target, ways(target, known)


def read(text):
    """The target, or None and what is wrong with it."""
    try:
        return parse_request(text), ""
    except ValueError as error:
        return None, str(error)


def ways_of(text, known):
    """Family → what its way is, in words."""
    return {way.dialect.name: way.text for way in explained(text, known)[1]}


# --- ways
# -----------------------------------------------------------------------------------------------------------


def test_the_reason_of_the_entry_is_told():
    """A target is direct because of an entry, and the entry is there for a reason."""
    entries = [Entry("10.0.0.0/16", "vpc"), Entry("s3.eu-central-1.amazonaws.com", "aws:s3")]
    known = of_entries(entries, PROXY, PROXY)
    assert set(ways_of("https://b.s3.eu-central-1.amazonaws.com", known).values()) == {
        "direct: s3.eu-central-1.amazonaws.com (aws:s3)"
    }
    found = ways_of("10.0.3.7", known)
    assert found["go"] == "direct: 10.0.0.0/16 (vpc)"
    assert found["wget"] == "through " + PROXY


def test_an_entry_that_the_agent_did_not_write_is_told_apart():
    """In a file that somebody edited, an unknown entry says so."""
    known = Values(variables(PROXY, PROXY, "a.corp,b.corp"), {"a.corp": "owner"}, FOREIGN)
    assert ways_of("a.corp", known)["go"] == "direct: a.corp (owner)"
    assert ways_of("b.corp", known)["go"] == "direct: b.corp (not the agent's)"


def test_http_and_https_have_proxies_of_their_own():
    """The scheme of the target chooses the proxy; without a scheme it is https."""
    known = values("", "http://other:8080")
    assert set(ways_of("http://x.org", known).values()) == {"through " + PROXY}
    assert set(ways_of("https://x.org", known).values()) == {"through http://other:8080"}
    assert set(ways_of("x.org", known).values()) == {"through http://other:8080"}


def test_without_a_proxy_everything_is_direct():
    """No variable, no proxy, and no entry to thank for it."""
    assert set(ways_of("https://x.org", Values({})).values()) == {"direct: no proxy is set"}


def test_a_variable_in_capitals_only_reaches_some_clients():
    """HTTP_PROXY in capitals is not read by curl and wget: they go directly, and that is said."""
    found = ways_of("http://x.org", Values({"HTTP_PROXY": PROXY}))
    assert found["go"] == "through " + PROXY
    assert found["curl"] == found["wget"] == "direct: no proxy is set"


def test_loopback_is_built_into_go():
    """Go needs no entry for loopback; with an entry of that name in the list, the entry is what
    counts.
    """
    found = explained("127.0.0.1", values("x.org"))[1]
    assert [(way.dialect.name, way.reason) for way in found if way.proxy is None] == [("go", BUILT_IN)]
    assert disagree(found)


@pytest.mark.parametrize(
    ("text", "no_proxy", "wonder"),
    [
        ("x.internal.corp", "10.0.0.0/16", True),
        ("10.1.0.1", "10.0.0.0/16", False),
        ("x.corp", "10.0.0.0/16,x.corp", False),
        ("x.corp", "y.corp", False),
        ("x.corp", "y.corp,fd00::/8", True),
    ],
)
def test_says_when_a_cidr_does_not_help_a_name(text, no_proxy, wonder):
    """A name that takes the proxy beside CIDRs is what people wonder about; an address or an exempt
    name is not.
    """
    known = values(no_proxy)
    assert needs_literal(*explained(text, known), known) is wonder


# --- files
# ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", {}),
        (b"LANG=C\nhttp_proxy=http://p:1\n", {"http_proxy": "http://p:1"}),
        (b"no_proxy=a\nno_proxy=b", {"no_proxy": "b"}),
        (b'export NO_PROXY="a, b"  \n', {"NO_PROXY": "a, b"}),
        (b" https_proxy = 'http://p:1'\n", {"https_proxy": "http://p:1"}),
        (b"no_proxy=a\r\n", {"no_proxy": "a\r"}),
        (b"all_proxy=http://p:1\nALL_PROXY=http://p:2\n", {"all_proxy": "http://p:1", "ALL_PROXY": "http://p:2"}),
        (b"#no_proxy=a\nftp_proxy=x\nmy_no_proxy=1\nno_proxy", {}),
        (b"no_proxy=\xff\n", {"no_proxy": "\ufffd"}),
        (b"no_proxy=\n", {"no_proxy": ""}),
    ],
)
def test_reads_the_variables_of_a_file(text, found):
    """Lines NAME=VALUE: the last of two wins, one pair of quotes goes, a carriage return stays, for
    clients see it.
    """
    assert variables_in(text) == found


# --- what is printed
# ------------------------------------------------------------------------------------------------


def test_a_paragraph_of_one_way_is_two_lines():
    """Where all clients agree there is nothing to list, also when they read different spellings of
    an entry.
    """
    entries = compose(vpc_cidrs=["10.0.0.0/16"])
    known = of_entries(entries, PROXY, PROXY)
    lines = list(paragraph(*explained("http://[fd00:ec2::254]/latest", known)))
    assert lines == [
        "http://[fd00:ec2::254]",
        "  direct: fd00:ec2::254 (metadata), [fd00:ec2::254] (metadata), for every client",
    ]
    assert list(paragraph(*explained("localhost", known)))[1] == "  direct: localhost (loopback), for every client"
    assert list(paragraph(*explained("x.org", known)))[1] == "  through http://proxy.corp:3128, for every client"


def test_a_paragraph_of_two_ways_lists_the_clients_and_the_way_out():
    """Where clients disagree each is named with its programs, and what to add so that they
    agree.
    """
    lines = list(paragraph(*explained("https://[fd00::7]", values("fd00::7"))))
    assert lines[0] == "https://[fd00::7]"
    assert lines[1] == "  direct: fd00::7 (given)"
    assert "    urllib           botocore, aws" in lines
    assert lines[-1] == '  clients disagree; to have it direct for all, add "fd00::7" and "[fd00::7]" to proxy.no_proxy'


@given(TARGETS, LISTS)
def test_the_way_out_is_one(text, no_proxy):
    """What is to be added for clients to agree does make them agree, whatever else is in the
    list.
    """
    target, _ = read(text)
    if target is None:
        return
    clean = ",".join(filter(None, (entry.strip() for entry in no_proxy.split(",")))).replace(" ", "")
    if not clean.isascii() or not clean.isprintable():
        return
    known = values(",".join([clean, *spellings(target.host)]).lstrip(","))
    assert not disagree(ways(target, known))


def test_the_matrix_names_each_client_above_its_column():
    """The head is a staircase: the n-th client stands where the n-th cell is."""
    head = list(matrix_head(values("")))
    assert PROXY in head[0]
    for at, family in enumerate(DIALECTS):
        assert head[1 + at][2 * at :].startswith(family.title)


def test_a_row_has_a_cell_for_each_client():
    """D and -, a mark where they differ, the target and the entries."""
    row = matrix_row(*explained("10.0.3.7", values("10.0.0.0/16")))
    cells, target = row.split("10.0.3.7", 1)
    assert len(cells.replace("!", "").split()) == len(DIALECTS)
    assert "!" in cells
    assert target.split() == ["10.0.0.0/16", "(given)"]
    same = matrix_row(*explained("x.org", values("10.0.0.0/16")))
    assert same.split() == ["-"] * len(DIALECTS) + ["x.org"]


def test_a_row_fits_the_terminal_but_loses_no_host():
    """Only the entries are cut to the terminal's width, never the target."""
    found = explained("10.0.3.7", values("10.0.0.0/16"))
    whole = matrix_row(*found)
    assert matrix_row(*found, width=len(whole)) == whole
    assert matrix_row(*found, width=len(whole) - 3) == whole[:-3]
    assert matrix_row(*found, width=1).endswith("10.0.3.7")


def test_colour_changes_nothing_but_colour():
    """Without its escape sequences a coloured line is the plain one."""
    found = explained("10.0.3.7", values("10.0.0.0/16"))
    coloured = matrix_row(*found, colour=True)
    for code in ("\x1b[1m", "\x1b[32m", "\x1b[33m", "\x1b[0m"):
        coloured = coloured.replace(code, "")
    assert coloured == matrix_row(*found)
    assert coloured != matrix_row(*found, colour=True)
    assert "\x1b" not in "".join(matrix_head(values("")))
    assert "\x1b[1mGo" in "".join(matrix_head(values(""), colour=True))


def test_objects_say_it_to_a_machine():
    """One object for each client: where to, direct or not, the proxy, the entry and its reason."""
    found = objects(*explained("https://user:secret@10.0.3.7:8443/path?query", values("10.0.0.0/16")))
    assert [one["client"] for one in found] == [family.name for family in DIALECTS]
    assert found[0] == {
        "target": "https://10.0.3.7:8443",
        "scheme": "https",
        "host": "10.0.3.7",
        "port": 8443,
        "client": "go",
        "programs": list(DIALECTS[0].clients),
        "direct": True,
        "proxy": None,
        "entry": "10.0.0.0/16",
        "reason": "given",
    }
    wget = next(one for one in found if one["client"] == "wget")
    assert (wget["direct"], wget["proxy"], wget["entry"], wget["reason"]) == (False, PROXY, None, None)
    assert "secret" not in json.dumps(found)


def test_an_unnamed_proxy_is_null():
    """With a list and no proxy it is known that a proxy is taken, and not which."""
    known = Values(variables(UNNAMED, UNNAMED, ""))
    assert {(one["direct"], one["proxy"]) for one in objects(*explained("x.org", known))} == {(False, None)}


def test_a_problem_holds_no_credentials():
    """A target that cannot be read is repeated without what may be a password, in one printable
    line.
    """
    assert problem("ftp://user:secret@host\n", "bad") == {"target": "***@host\\n", "error": "bad"}


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["go"], "Go"),
        (["curl-old", "wget"], "curl <7.86, wget"),
        (["curl-old", "curl", "curl-8.9", "curl-8.18", "wget"], "curl, wget"),
        ([family.name for family in DIALECTS], "every client"),
    ],
)
def test_titles_are_as_short_as_they_can_be(names, text):
    """All generations of a family together have its name alone."""
    assert titles([family for family in DIALECTS if family.name in names]) == text


@given(TARGETS, LISTS, LISTS)
def test_nothing_raises(text, lower, upper):
    """Any text is a target or a ValueError, any list gives a way, and what is printed is printable,
    one line each.
    """
    known = Values({"http_proxy": PROXY, "HTTPS_PROXY": PROXY, "no_proxy": lower, "NO_PROXY": upper})
    target, complaint = read(text)
    assert complaint.isprintable()
    if target is None:
        return
    found = ways(target, known)
    assert len(found) == len(DIALECTS)
    for line in [*paragraph(target, found), matrix_row(target, found), why(found)]:
        assert line.isprintable()
    json.dumps(objects(target, found))


@given(st.binary(max_size=200))
def test_any_file_can_be_read(text):
    """No file is so strange that it cannot be looked at."""
    assert all(isinstance(value, str) for value in variables_in(text).values())


@given(st.text())
def test_printable_is(text):
    """Whatever was given becomes printable ASCII without user info."""
    shown = printable(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert "@" not in text or shown.startswith("***@")


def test_owner_entries_are_explained_as_the_owners():
    """What the owner wrote has the reason owner in the way."""
    known = of_entries(compose(operator=[parse_operator_entry("git.example.com")]), PROXY, PROXY)
    assert why(explained("git.example.com", known)[1]) == "git.example.com (owner)"
