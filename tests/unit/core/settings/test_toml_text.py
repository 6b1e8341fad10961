"""Limits of a TOML text: its size, and the dots of a key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.settings.layers import flag_layer, merge, parse_toml
from agent.core.settings.toml_text import FILE_LIMIT, MAX_DOTS, USER_DATA_LIMIT, loads
from agent.errors import SettingsError

DEEP = ".".join("a" * (MAX_DOTS + 2))
DEEPEST = ".".join("a" * (MAX_DOTS + 1))


def problem_of(text, limit=FILE_LIMIT):
    """Return the one problem of a text."""
    with pytest.raises(SettingsError) as caught:
        parse_toml("user data", text.encode(), limit)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(("limit", "shown"), [(USER_DATA_LIMIT, "64 KiB"), (FILE_LIMIT, "1024 KiB")])
def test_size_is_limited(limit, shown):
    """User data may have 64 KiB of settings, and a file, which only root can write, 1 MiB."""
    parse_toml("user data", b"#" * limit, limit)
    assert problem_of("#" * (limit + 1), limit) == (
        f"user data: larger than {shown}; move large values, such as node.ca_bundle, to a file"
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (DEEP + " = 1", 1),
        (f"[proxy]\n{DEEP} = 1", 2),
        (f"\n\n[{DEEP}]", 3),
        (f"[[ {DEEP} ]]", 1),
        ("a = 1\n" + " . ".join(['"a"', "'a'"] * MAX_DOTS) + " = 1", 2),
        (f"a = {{ b = 1, {DEEP} = 1 }}", 1),
        (f'a = {{ b = """\n"""", {DEEP} = "x" }}', 2),
        (f"a = {{ b = '''\n''''', {DEEP} = 'x' }}", 2),
        (f'a = [ "\\"", {{ {DEEP} = 1 }} ]', 1),
        (".".join(f'"{DEEPEST}"' for _ in range(MAX_DOTS + 2)) + " = 1", 1),
        (DEEP * 1000 + " = 1", 1),
    ],
)
def test_deep_key_is_refused(text, line):
    """A key with more dots than MAX_DOTS is an error with its line, wherever TOML allows a key."""
    assert problem_of(text) == f"user data, line {line}: key with more than 64 dots"


@pytest.mark.parametrize(
    "text",
    [
        DEEPEST + " = 1",
        f"[{DEEPEST}]",
        f'a = "{DEEP}"',
        f"a = '{DEEP}'  # {DEEP} = 1",
        f"# {DEEP} = 1\na = 1",
        f'a = """\n{DEEP} = 1\n"""',
        f"a = '''\n[{DEEP}]\n''''",
        f'"{DEEP}" = 1',
        "a = [" + ", ".join(f'"host{number}.corp.example.com"' for number in range(100)) + "]",
        "a = [" + "1.5, " * 100 + "]",
    ],
)
def test_dots_that_are_not_of_one_key_are_accepted(text):
    """Strings, comments, numbers and several keys may have any number of dots."""
    assert loads(text)


@given(st.text("a.\"'\\#[]{}=,\n ", max_size=40), st.text("a.\"'\\#[]{}=,\n ", max_size=40))
def test_any_text_around_a_deep_key_is_accepted_or_refused(before, after):
    """Nothing but ValueError is raised, and no deep key comes through."""
    try:
        tables = loads(before + DEEP + after)
    except ValueError:
        return
    depth = 0
    while isinstance(tables, dict) and len(tables) == 1:
        (tables,) = tables.values()
        depth += 1
    assert depth <= MAX_DOTS


def test_error_of_a_long_key_is_short():
    """The parser repeats the key, which may have any length; the place stays."""
    key = "a" * 50_000
    problem = problem_of(f"[{key}]\n[{key}]")
    assert len(problem) < 300
    assert "(at line 2" in problem


def test_flags_have_the_same_limits():
    """A flag whose value is too deep is a string, as any other that is not TOML."""
    assert flag_layer([f"node.units={{{DEEP} = 1}}"]).data == {"node": {"units": f"{{{DEEP} = 1}}"}}


def test_problems_and_warnings_of_one_key_are_counted():
    """The error of a list names the first wrong values; its warnings are counted too."""
    entries = ", ".join(f'"*.h{number}"' for number in range(1000))
    with pytest.raises(SettingsError) as caught:
        merge([parse_toml("user data", f"[proxy]\nno_proxy = [{entries}]".encode())])
    (problem,) = caught.value.problems
    assert '"*.h19"' in problem
    assert '"*.h20"' not in problem
    assert "; and 980 more (allowed: " in problem
    with pytest.raises(SettingsError, match=r'write \["h0", "h1", .*, "h19", \.\.\.\] \(allowed: '):
        merge([parse_toml("user data", f"[proxy]\nno_proxy = '{' '.join(f'h{i}' for i in range(1000))}'".encode())])
    ports = ", ".join(f'"h{number}:80"' for number in range(1000))
    warnings = merge([parse_toml("user data", f"[proxy]\nno_proxy = [{ports}]".encode())]).warnings
    assert (len(warnings), warnings[-1]) == (21, "and 980 more")
