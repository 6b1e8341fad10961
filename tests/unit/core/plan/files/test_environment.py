"""/etc/environment and node.env as text: the six lines at the end, other lines unchanged."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.core.plan.files import environment
from agent.core.plan.files.environment import EnvironmentFile
from agent.errors import FileError

OURS = (
    ("http_proxy", "http://proxy.corp:3128"),
    ("HTTP_PROXY", "http://proxy.corp:3128"),
    ("https_proxy", "http://proxy.corp:3128"),
    ("HTTPS_PROXY", "http://proxy.corp:3128"),
    ("no_proxy", "localhost,127.0.0.1,.internal"),
    ("NO_PROXY", "localhost,127.0.0.1,.internal"),
)
LINES = environment.render(OURS)
merged = EnvironmentFile(OURS).merge

# Usual and unusual lines; each with any line ending.
FOREIGN = st.sampled_from(
    [b"LANG=C", b"# a comment", b"", b"  ", b"\tPATH=/bin", b"export A=1", b"no_proxy_extra=1", b"B='x y'", b"# end \\",
     b"C=1\\", b"xhttp_proxy=1", "D=ü".encode(), b"http_proxy", b"# http_proxy=old", b"E=\\\\"]
)  # fmt: skip
PROXY = st.sampled_from(
    [b"http_proxy=old", b"HTTPS_PROXY=http://user:pw@old:1", b"export no_proxy=a,b", b" NO_PROXY = x", b"https_proxy="]
)
ENDINGS = st.sampled_from([b"\n", b"\n", b"\r\n"])


@st.composite
def files(draw, lines=FOREIGN | PROXY):
    """A file: lines with their endings, and perhaps no newline at its end."""
    text = b"".join(line + draw(ENDINGS) for line in draw(st.lists(lines, max_size=8)))
    return text[:-1] if text.endswith(b"\n") and draw(st.booleans()) else text


@pytest.mark.parametrize(
    ("current", "kept"),
    [
        (None, b""),
        (b"", b""),
        (b"LANG=C\n", b"LANG=C\n"),
        (b"LANG=C", b"LANG=C\n"),
        (b"LANG=C\r\n# c\r\n", b"LANG=C\r\n# c\r\n"),
        (b"\n\n", b"\n\n"),
        (b"http_proxy=old\nLANG=C\nNO_PROXY=old\n", b"LANG=C\n"),
        (b"export HTTP_PROXY=old\n  no_proxy = x\n", b""),
        (b"http_proxy=a\r\n", b""),
        (LINES + LINES, b""),  # the recipe, run twice
        (b"# http_proxy=old\n", b"# http_proxy=old\n"),
        (b"my_http_proxy=old\nhttp_proxy_port=1\n", b"my_http_proxy=old\nhttp_proxy_port=1\n"),
        (b"Http_Proxy=old\n", b"Http_Proxy=old\n"),
        # A backslash joins the next line (in systemd before 254 also after a comment), so a line
        # comes in between.
        (b"A=1\\", b"A=1\\\n\n:\n"),
        (b"# c \\\n", b"# c \\\n\n:\n"),
        # The joined line is part of another value.
        (b"A=1\\\nhttp_proxy=x\nB=2\n", b"A=1\\\nhttp_proxy=x\nB=2\n"),
        (b"http_proxy=a\\\nb\nB=2\n", b"B=2\n"),
        # An escaped backslash continues nothing, except for pam_env.
        (b"A=1\\\\\n\nhttp_proxy=x\n# c\nB=2\n", b"A=1\\\\\n\nhttp_proxy=x\n# c\nB=2\n"),
        (b"http_proxy=x\\\\\nB=2\n", b"http_proxy=x\\\\\nB=2\n"),
        (b"A='1\\'\nhttp_proxy=x\nB=2\n", b"A='1\\'\nB=2\n"),
        (b"http_proxy='x\\'\nB=2\n", b"B=2\n"),
        # Quotes may span lines; a comment may hold any byte.
        (b'no_proxy="localhost,\n127.0.0.1,\n.internal"\nFOO=bar\n', b"FOO=bar\n"),
        (b"no_proxy='a\n\nb' \\\n c\nFOO=bar\n", b"FOO=bar\n"),
        (b'FOO="a\nhttp_proxy=x"\nhttp_proxy=y\n', b'FOO="a\nhttp_proxy=x"\n'),
        (b"# Proxy f\xfcr alle\nFOO=1\n; caf\xe9=\n", b"# Proxy f\xfcr alle\nFOO=1\n; caf\xe9=\n"),
        (b"http_proxy=caf\xe9\nFOO=1\n", b"FOO=1\n"),
        (b"FOO=1\nno_proxy='a", b"FOO=1\n"),
        (b"FOO=it's\nhttp_proxy=x\n", b"FOO=it's\n"),
        # A line that sets other variables too stays as it is.
        (b'export NO_PROXY="a" LANG=C\nhttp_proxy=b FOO=1\n', b'export NO_PROXY="a" LANG=C\nhttp_proxy=b FOO=1\n'),
        (b"http_proxy=b; export http_proxy\nno_proxy=a, b\n", b""),
        (b"http_proxy=b; . /etc/more\n", b"http_proxy=b; . /etc/more\n"),
        (b"if true; then\nexport http_proxy=b\nfi\n", b"if true; then\nexport http_proxy=b\nfi\n"),
        (b'no_proxy="a\nFOO=1"\n', b'no_proxy="a\nFOO=1"\n'),  # for pam_env, FOO is set
        (b"A=1\rhttp_proxy=x\n", b"A=1\rhttp_proxy=x\n"),  # systemd ends a line at CR, others do not
    ],
)
def test_our_lines_come_last_and_other_lines_stay(current, kept):
    """Other lines stay byte for byte, with any ending; the six lines occur once, at the end."""
    assert merged(current) == kept + LINES


@given(files())
@example(b"A=1\\\nhttp_proxy=x\nB=2\n")
def test_a_second_merge_changes_nothing(current):
    """Merging is idempotent."""
    once = merged(current)
    assert merged(once) == once


@given(files(lines=FOREIGN))
def test_foreign_text_is_a_prefix(current):
    """A file without proxy lines is kept as a whole, before the six lines."""
    assert merged(current).startswith(current)


@given(files(), st.sampled_from([b"http://new.corp:1", b""]))
def test_new_values_replace_the_old_ones(current, value):
    """The result is the same as for a merge into the original file."""
    new = tuple((name, value.decode()) for name, _ in OURS)
    assert EnvironmentFile(new).merge(merged(current)) == EnvironmentFile(new).merge(current)


@given(files(lines=FOREIGN))
def test_restore_removes_only_our_lines(before):
    """A restore after a merge gives the original, except for added line ends."""
    restored = EnvironmentFile.restore(merged(before), before)
    assert restored.startswith(before)
    assert restored[len(before) :] in (b"", b"\n", b"\n:\n", b"\n\n:\n")


@given(files(), st.lists(FOREIGN.filter(lambda line: not line.endswith(b"\\")), max_size=3))
def test_restore_keeps_lines_that_others_added(before, added):
    """Appended lines stay in their order, and the original proxy lines come back."""
    edited = merged(before) + b"".join(line + b"\n" for line in added)
    restored = EnvironmentFile.restore(edited, before).split(b"\n")
    rest = iter(restored)
    assert all(line in rest for line in added), "in order"
    for name in environment.NAMES:
        assert b"%s=%s" % (name.encode(), dict(OURS)[name].encode()) not in restored


@pytest.mark.parametrize(
    ("current", "before", "restored"),
    [
        (LINES, None, b""),
        (LINES + b"A=1\n", None, b"A=1\n"),
        (b"A=1\n" + LINES + b"B=2\n", b"A=1\nhttp_proxy=old\n", b"A=1\nB=2\nhttp_proxy=old\n"),
        (b"B=2", b"no_proxy=old", b"B=2\nno_proxy=old"),
        (b"", b"no_proxy=old", b"no_proxy=old"),
    ],
)
def test_restore(current, before, restored):
    """The original proxy lines come back at the end of a file that others edited."""
    assert EnvironmentFile.restore(current, before) == restored


@pytest.mark.parametrize("char", list(" \t\n\r\0\"'$\\`#~&|;<>()") + ["ü", "\x7f", "\u2028"])
def test_a_value_that_readers_parse_differently_is_refused(char):
    """The error names the variable and the character.

    It does not show the value, which may contain a password.
    """
    with pytest.raises(FileError) as error:
        environment.render((("http_proxy", "http://secret" + char + ":3128"),))
    assert "http_proxy" in str(error.value)
    assert ascii(char) in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("current", "cleaned"),
    [
        (b"FOO=1\n" + LINES, b"FOO=1\n"),
        (b"FOO=1", b"FOO=1"),
        (b'no_proxy="a,\nb"\nFOO=1\n', b"FOO=1\n"),
        (b'export NO_PROXY="a" LANG=C\nhttp_proxy=b FOO=1\n', b"export LANG=C\nFOO=1\n"),
        (b"  FOO=1 http_proxy=b # c\n", b"  FOO=1 # c\n"),
        (b"FOO='1 2'\thttp_proxy=b", b"FOO='1 2'"),
        (b"export http_proxy\n", b"export http_proxy\n"),
    ],
)
def test_without_variables_only_the_proxies_go(current, cleaned):
    """The other variables of a line that also sets a proxy stay."""
    assert EnvironmentFile(None).merge(current) == cleaned


@pytest.mark.parametrize(
    ("current", "line", "rest"),
    [
        (b"A=1\nhttp_proxy=b; . /etc/more\n", "line 2: sets http_proxy", "command ."),
        (b"if true; then\nexport http_proxy=b\nfi\n", "line 1: sets http_proxy", "command if"),
        (b'no_proxy="a\nFOO=1"\n', "line 1: sets no_proxy", "FOO"),
        (b"A=\\\\\nhttp_proxy=x\n", "line 1: sets http_proxy", "A"),
        (b"http_proxy=x FOO=1 BAR\n", "line 1: sets http_proxy", "FOO"),
        (b"http_proxy=x FOO='1\nBAR=2'\n", "line 1: sets http_proxy", "BAR, FOO"),
        (b"FOO=1 export http_proxy=x\n", "line 1: sets http_proxy", "FOO"),
        (b"A=1\rhttp_proxy=x\n", "line 1: sets http_proxy", "A"),
    ],
)
def test_a_proxy_that_cannot_be_separated_is_refused(current, line, rest):
    """`clean` leaves no proxy without a word; the error names the line and what else it does."""
    with pytest.raises(FileError) as error:
        EnvironmentFile(None).merge(current)
    assert str(error.value).startswith(line)
    assert f"together with {rest}" in str(error.value)


@pytest.mark.parametrize(
    ("before", "note"),
    [
        (b"A=1\n", ""),
        (b"http_proxy=old\n", "1 line of an earlier proxy setup is replaced"),
        (b'no_proxy="a,\nb"\nhttp_proxy=old\n', "3 lines of an earlier proxy setup are replaced"),
        (
            b"http_proxy=old\nexport no_proxy=a LANG=C\n",
            (
                "1 line of an earlier proxy setup is replaced; "
                "line 2 sets no_proxy together with LANG, so it stays; the agent's lines below it win"
            ),
        ),
    ],
)
def test_the_note_names_lines_that_are_replaced_or_stay(before, note):
    """It is about the original file."""
    assert EnvironmentFile(OURS).note(before) == ("/etc/environment: " + note if note else "")


@pytest.mark.parametrize(
    ("current", "line", "problem"),
    [
        (b'A=1\nJAVA_OPTS="-Dx=1\n', "line 2", "not closed"),
        (b"A='1\n" + LINES, "line 1", "not closed"),
        (b"no_proxy='a\nFOO=1\n", "line 1", "not closed"),
        (b"# c\\\nA='1\n", "line 2", "not closed"),  # since systemd 254
        (b'A="1\n2\xff"\n', "line 2", "UTF-8"),
        (b"A=\xef\xbf\xbf\n", "line 1", "UTF-8"),
        (b"# \0\n", "line 1", "NUL"),
        (b"A=1\nB=\xff\n", "line 2", "UTF-8"),
        (b"\xffhttp_proxy=x\n", "line 1", "UTF-8"),
        (b"A=1\n\nB=\0\n", "line 3", "NUL"),
        (b"A=\xed\xa0\x80\n", "line 1", "UTF-8"),
    ],
)
@pytest.mark.parametrize("action", [merged, lambda current: EnvironmentFile.restore(current, None)])
def test_a_file_in_which_systemd_would_not_read_our_lines_is_refused(action, current, line, problem):
    """The error names the line.

    One invalid byte rejects the whole file, and an open quote takes in what follows.
    """
    with pytest.raises(FileError) as error:
        action(current)
    assert line in str(error.value)
    assert problem in str(error.value)
