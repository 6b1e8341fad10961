"""The route of a request, and how it is printed."""

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
    Route,
    Values,
    disagree,
    of_entries,
    printable,
    routes_of,
    should_explain_cidrs,
    titles,
    variables,
)
from agent.core.noproxy.explain_view import matrix_head, matrix_row, objects, paragraph, problem, why

PROXY = "http://proxy.corp:3128"
TARGETS = st.one_of(
    st.text(max_size=60),
    st.from_regex(r"(https?://)?([a-z0-9-]{1,5}\.){0,3}[a-z]{1,3}(:[0-9]{1,5})?", fullmatch=True),
    st.ip_addresses().map(lambda address: f"https://[{address}]" if address.version == 6 else str(address)),
)
LISTS = st.one_of(st.text(max_size=60), st.lists(TARGETS, max_size=5).map(",".join))


@pytest.mark.parametrize(
    ("proxy", "entry", "reason", "is_off"),
    [
        (None, "", "reads no variables", True),
        (PROXY, "", "reads no variables", False),
        (None, ".corp", "suffix", False),
        (None, "", "", False),
    ],
)
def test_a_client_is_off_if_a_reason_alone_makes_it_direct(proxy, entry, reason, is_off):
    """An entry decides for a client that reads the environment, and so does a proxy."""
    assert Route(DIALECTS[0], proxy, entry, reason).is_off == is_off


def given_values(no_proxy, https_proxy=PROXY):
    """Return values with a list of the command line."""
    return Values(variables(PROXY, https_proxy, no_proxy))


def explained(text, values):
    """Return target and routes of a text."""
    target = parse_request(text)
    return target, routes_of(target, values)


def parsed(text):
    """Return the target, or None and the error."""
    try:
        return parse_request(text), ""
    except ValueError as error:
        return None, str(error)


def texts_of(text, values):
    """Return the name of each family and its route in words."""
    return {route.dialect.name: route.text for route in explained(text, values)[1]}


# --- routes ---


def test_route_has_the_entry_and_its_reason():
    """A target is direct because of an entry, which has a reason."""
    entries = [Entry("10.0.0.0/16", "vpc"), Entry("s3.eu-central-1.amazonaws.com", "aws:s3")]
    values = of_entries(entries, PROXY, PROXY)
    assert set(texts_of("https://b.s3.eu-central-1.amazonaws.com", values).values()) == {
        "direct: s3.eu-central-1.amazonaws.com (aws:s3)"
    }
    texts = texts_of("10.0.3.7", values)
    assert texts["go"] == "direct: 10.0.0.0/16 (vpc)"
    assert texts["wget"] == "through " + PROXY


def test_foreign_entry_is_not_the_agents():
    """In an edited file, an entry that the agent did not write has that reason."""
    values = Values(variables(PROXY, PROXY, "a.corp,b.corp"), {"a.corp": "owner"}, FOREIGN)
    assert texts_of("a.corp", values)["go"] == "direct: a.corp (owner)"
    assert texts_of("b.corp", values)["go"] == "direct: b.corp (not the agent's)"


def test_scheme_selects_the_proxy():
    """A target without a scheme is https."""
    values = given_values("", "http://other:8080")
    assert set(texts_of("http://x.org", values).values()) == {"through " + PROXY}
    assert set(texts_of("https://x.org", values).values()) == {"through http://other:8080"}
    assert set(texts_of("x.org", values).values()) == {"through http://other:8080"}


def test_everything_is_direct_without_a_proxy():
    """Without variables there is neither a proxy nor an entry."""
    assert set(texts_of("https://x.org", Values({})).values()) == {"direct: no proxy is set"}


def test_upper_case_http_proxy_is_ignored_by_curl_and_wget():
    """For them no proxy is set, so the route is direct."""
    texts = texts_of("http://x.org", Values({"HTTP_PROXY": PROXY}))
    assert texts["go"] == "through " + PROXY
    assert texts["curl"] == texts["wget"] == "direct: no proxy is set"


def test_loopback_is_built_into_go():
    """Go needs no entry for loopback, all other clients do."""
    routes = explained("127.0.0.1", given_values("x.org"))[1]
    direct = [route for route in routes if route.proxy is None]
    assert [(route.dialect.name, route.reason, route.text) for route in direct] == [
        ("go", BUILT_IN, "direct: loopback (needs no entry)")
    ]
    assert disagree(routes)


@pytest.mark.parametrize(
    ("text", "no_proxy", "is_misleading"),
    [
        ("x.internal.corp", "10.0.0.0/16", True),
        ("10.1.0.1", "10.0.0.0/16", False),
        ("x.corp", "10.0.0.0/16,x.corp", False),
        ("x.corp", "y.corp", False),
        ("x.corp", "y.corp,fd00::/8", True),
    ],
)
def test_cidrs_are_explained_for_a_name_that_uses_the_proxy(text, no_proxy, is_misleading):
    """An address or an exempt name needs no explanation."""
    values = given_values(no_proxy)
    assert should_explain_cidrs(*explained(text, values), values) is is_misleading


# --- files ---


# --- output ---


def test_paragraph_has_two_lines_if_clients_agree():
    """That is also so if they match different spellings of an address."""
    entries = compose(vpc_cidrs=["10.0.0.0/16"])
    values = of_entries(entries, PROXY, PROXY)
    lines = list(paragraph(*explained("http://[fd00:ec2::254]/latest", values)))
    assert lines == [
        "http://[fd00:ec2::254]",
        "  direct: fd00:ec2::254 (metadata), [fd00:ec2::254] (metadata), for every client",
    ]
    assert list(paragraph(*explained("localhost", values)))[1] == "  direct: localhost (loopback), for every client"
    assert list(paragraph(*explained("x.org", values)))[1] == "  through http://proxy.corp:3128, for every client"


def test_paragraph_lists_clients_that_disagree():
    """Each family has a line with its programs; the last line names the entries to add."""
    lines = list(paragraph(*explained("https://[fd00::7]", given_values("fd00::7"))))
    assert lines[0] == "https://[fd00::7]"
    assert lines[1] == "  direct: fd00::7 (given)"
    assert "    urllib           botocore, aws" in lines
    assert lines[-1] == '  clients disagree; to make it direct for all, add "fd00::7" and "[fd00::7]" to proxy.no_proxy'


@given(TARGETS, LISTS)
def test_suggested_entries_make_clients_agree(text, no_proxy):
    """They do so whatever else is in the list."""
    target, _ = parsed(text)
    if target is None:
        return
    clean = ",".join(filter(None, (entry.strip() for entry in no_proxy.split(",")))).replace(" ", "")
    if not clean.isascii() or not clean.isprintable():
        return
    values = given_values(",".join([clean, *spellings(target.host)]).lstrip(","))
    assert not disagree(routes_of(target, values))


def test_matrix_head_names_each_client_above_its_column():
    """The head is a staircase: the title of a family begins at its column."""
    head = list(matrix_head(given_values("")))
    assert PROXY in head[0]
    for column, family in enumerate(DIALECTS):
        assert head[1 + column][2 * column :].startswith(family.title)


def test_row_has_a_cell_for_each_client():
    """A row has D or -, a mark if clients disagree, the target and the entries."""
    row = matrix_row(*explained("10.0.3.7", given_values("10.0.0.0/16")))
    cells, target = row.split("10.0.3.7", 1)
    assert len(cells.replace("!", "").split()) == len(DIALECTS)
    assert "!" in cells
    assert target.split() == ["10.0.0.0/16", "(given)"]
    same = matrix_row(*explained("x.org", given_values("10.0.0.0/16")))
    assert same.split() == ["-"] * len(DIALECTS) + ["x.org"]


def test_row_fits_the_terminal():
    """Only the entries are truncated to the terminal's width, never the target."""
    explanation = explained("10.0.3.7", given_values("10.0.0.0/16"))
    full = matrix_row(*explanation)
    assert matrix_row(*explanation, width=len(full)) == full
    assert matrix_row(*explanation, width=len(full) - 3) == full[:-3]
    assert matrix_row(*explanation, width=1).endswith("10.0.3.7")


def test_colour_changes_only_colour():
    """Without its escape sequences a coloured line equals the plain one."""
    explanation = explained("10.0.3.7", given_values("10.0.0.0/16"))
    coloured = matrix_row(*explanation, colour=True)
    for code in ("\x1b[1m", "\x1b[32m", "\x1b[33m", "\x1b[0m"):
        coloured = coloured.replace(code, "")
    assert coloured == matrix_row(*explanation)
    assert coloured != matrix_row(*explanation, colour=True)
    assert "\x1b" not in "".join(matrix_head(given_values("")))
    assert "\x1b[1mGo" in "".join(matrix_head(given_values(""), colour=True))


def test_json_has_an_object_for_each_client():
    """It has the target, the route, the entry and its reason, and no user info."""
    items = objects(*explained("https://user:secret@10.0.3.7:8443/path?query", given_values("10.0.0.0/16")))
    assert [item["client"] for item in items] == [family.name for family in DIALECTS]
    assert items[0] == {
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
    wget = next(item for item in items if item["client"] == "wget")
    assert (wget["direct"], wget["proxy"], wget["entry"], wget["reason"]) == (False, PROXY, None, None)
    assert "secret" not in json.dumps(items)


def test_unnamed_proxy_is_null():
    """With a list and no proxy, the target uses a proxy without a name."""
    values = Values(variables(UNNAMED, UNNAMED, ""))
    assert {(item["direct"], item["proxy"]) for item in objects(*explained("x.org", values))} == {(False, None)}


def test_bad_target_is_repeated_without_credentials():
    """It is one printable line, without anything that may be a password."""
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
def test_titles_are_short(names, text):
    """A family appears without versions if all its versions are chosen."""
    assert titles([family for family in DIALECTS if family.name in names]) == text


@given(TARGETS, LISTS, LISTS)
def test_any_input_gives_printable_lines(text, lower, upper):
    """The only error is ValueError about the target; any list gives routes."""
    values = Values({"http_proxy": PROXY, "HTTPS_PROXY": PROXY, "no_proxy": lower, "NO_PROXY": upper})
    target, complaint = parsed(text)
    assert complaint.isprintable()
    if target is None:
        return
    routes = routes_of(target, values)
    assert len(routes) == len(DIALECTS)
    for line in [*paragraph(target, routes), matrix_row(target, routes), why(routes)]:
        assert line.isprintable()
    json.dumps(objects(target, routes))


@given(st.text())
def test_printable_text_is_safe(text):
    """Any text becomes printable ASCII without user info."""
    shown = printable(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert "@" not in text or shown.startswith("***@")


def test_entries_of_the_operator_have_the_reason_owner():
    """The route of such an entry has that reason."""
    values = of_entries(compose(operator=[parse_operator_entry("git.example.com")]), PROXY, PROXY)
    assert why(explained("git.example.com", values)[1]) == "git.example.com (owner)"
