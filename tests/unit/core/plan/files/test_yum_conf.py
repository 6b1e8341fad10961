"""yum.conf and dnf.conf as text: one `proxy=` in [main], everything else unchanged."""

import configparser

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from agent.core.plan.files.yum_conf import DnfConf, YumConf

URL = "http://proxy.corp:3128"
OURS = b"proxy=http://proxy.corp:3128\n"


def read_back(text):
    """The proxy of [main] as Python's configparser reads it.

    The last of two lines wins, and an indented line continues a value.
    """
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read_string(text.decode("utf-8"))
    return parser.get("main", "proxy")


def words(section):
    """A section as values without their line breaks.

    Blank lines inside the old proxy value may move.
    """
    return {key: value.split() for key, value in section.items()}


# Usual options; one may have several lines.
OPTION = st.sampled_from(
    [b"gpgcheck=1", b"# proxy=x", b";proxy=x", b"", b" ", b"exclude=a\n b", b"exclude=a\n\n\tb",
     b"#proxy_password=x", b"proxy_auth_method=any", b"sslproxy=1", b"cachedir=/var/$basearch", b"  # indented"]
)  # fmt: skip
PROXY = st.sampled_from(
    [
        b"proxy=http://old:1",
        OURS.strip(),
        b"proxy = _none_",
        b"Proxy: x",
        b"proxy=",
        b"proxy=a\n  b",
        b"proxy=a\n\n  b\n# c\n\td",
        b"proxy_username=me",
        b"Proxy_Password : secret\n more",
    ]
)
HEADER = st.sampled_from([b"[main]", b"[main] # ours", b"[fedora]", b"[ main2 ]"])


@st.composite
def files(draw, parts=OPTION | PROXY | HEADER):
    """A file that starts with a header, with LF or CRLF.

    Options before any header are an error for all readers.
    """
    lines = [draw(HEADER)] + draw(st.lists(parts, max_size=10))
    text = b"\n".join(lines) + b"\n" * draw(st.integers(0, 2))
    return text.replace(b"\n", b"\r\n") if draw(st.booleans()) else text


@pytest.mark.parametrize(
    ("current", "edited"),
    [
        (None, b"[main]\n" + OURS),
        (b"", b"[main]\n" + OURS),
        (b"[main]\n", b"[main]\n" + OURS),
        (b"[main]", b"[main]\n" + OURS),
        (b"[main]\ngpgcheck=1\n", b"[main]\n" + OURS + b"gpgcheck=1\n"),
        (b"[main]\r\ngpgcheck=1\r\n", b"[main]\r\n" + OURS + b"gpgcheck=1\r\n"),
        # Replaced in its place.
        (b"[main]\na=1\nproxy=old\nb=1\n", b"[main]\na=1\n" + OURS + b"b=1\n"),
        (b"[main]\na=1\nproxy=old", b"[main]\na=1\n" + OURS),
        (b"[main]\n#proxy=old\na=1\n", b"[main]\n" + OURS + b"#proxy=old\na=1\n"),
        # The recipe appends a line at each boot.
        (b"[main]\na=1\nproxy=old\nproxy=old\n", b"[main]\na=1\n" + OURS),
        (b"[main]\nproxy=a\nb=1\nproxy=c\n", b"[main]\n" + OURS + b"b=1\n"),
        # It appends to the last section: there only a line with the same URL is removed.
        (b"[main]\na=1\n[repo]\n" + OURS, b"[main]\n" + OURS + b"a=1\n[repo]\n"),
        (b"[main]\n[repo]\nproxy=http://proxy.corp:3128/\r\nname=x", b"[main]\n" + OURS + b"[repo]\nname=x\n"),
        (b"[main]\n[repo]\n" + OURS + b"[x]\nProxy : http://proxy.corp:3128", b"[main]\n" + OURS + b"[repo]\n[x]\n"),
        (OURS, b"[main]\n" + OURS),
        (b"[main]\na=1\n[repo]\nproxy=old\n", b"[main]\n" + OURS + b"a=1\n[repo]\nproxy=old\n"),
        (b"[main]\n[x]\nproxy=a\n" + OURS, b"[main]\n" + OURS + b"[x]\nproxy=a\n" + OURS),
        (b"[main]\n[repo]\nproxy=_none_\n", b"[main]\n" + OURS + b"[repo]\nproxy=_none_\n"),
        (b"[main]\n[repo]\n" + OURS + b"\n  more\n", b"[main]\n" + OURS + b"[repo]\n" + OURS + b"\n  more\n"),
        (b"[repo]\nname=x\n", b"[repo]\nname=x\n\n[main]\n" + OURS),
        (b"[repo]\nname=x", b"[repo]\nname=x\n\n[main]\n" + OURS),
        (b"[repo]\nname=x\n\n", b"[repo]\nname=x\n\n\n[main]\n" + OURS),
        (b"[Main]\n[ main ]\n", b"[Main]\n[ main ]\n\n[main]\n" + OURS),
        (b"[repo]\nname=x\n[main]\n", b"[repo]\nname=x\n[main]\n" + OURS),
        (b"[main]\na=1\n[x]\n[main]\nproxy=b\n", b"[main]\na=1\n[x]\n[main]\n" + OURS),
        # Continuation lines are removed with their value, also across blank lines and comments.
        (b"[main]\nproxy=a\n  b\nc=1\n", b"[main]\n" + OURS + b"c=1\n"),
        (b"[main]\nproxy=a\n\n  b\nc=1\n", b"[main]\n" + OURS + b"\nc=1\n"),
        (b"[main]\nproxy=a\n# c\n\tb\nc=1\n", b"[main]\n" + OURS + b"# c\nc=1\n"),
        (b"[main]\nproxy=a\n  # c\nc=1\n", b"[main]\n" + OURS + b"  # c\nc=1\n"),
        # An indented line below the header must not become a continuation of ours.
        (b"[main]\n  a=1\nb=1\n", b"[main]\n  a=1\n" + OURS + b"b=1\n"),
        (b"[main]\n\n  a=1\n  b=1\n# c\n", b"[main]\n\n  a=1\n  b=1\n" + OURS + b"# c\n"),
        (b"[main]\n  a=1", b"[main]\n  a=1\n" + OURS),
        (
            b"[main]\nproxy_username=me\nproxy_password=x\nproxy_auth_method=any\n",
            b"[main]\n" + OURS + b"proxy_auth_method=any\n",
        ),
        # User and password would be sent to the new proxy.
        (
            b"[main]\ngpgcheck=1\nproxy=http://old:1\nproxy_username=u\nproxy_password=p\n",
            b"[main]\ngpgcheck=1\n" + OURS,
        ),
        (b"[main]\nproxy_username: u\n v\n\nproxy=old\na=1\n", b"[main]\n\n" + OURS + b"a=1\n"),
        (b"[main]\n[x]\nproxy=old\nproxy_username=u\n", b"[main]\n" + OURS + b"[x]\nproxy=old\nproxy_username=u\n"),
        (b"[main]\nname=\xe4\0\n", b"[main]\n" + OURS + b"name=\xe4\0\n"),
    ],
)
def test_one_proxy_line_in_main(current, edited):
    """The line occurs once, in [main], and every other line stays byte for byte."""
    assert YumConf(URL).merge(current) == edited


@given(files())
@example(b"[main]\nproxy=a\n\n  b\nexclude=x")
def test_an_independent_parser_reads_our_value(current):
    """configparser reads exactly the URL from [main], whatever the file was before."""
    assert read_back(YumConf(URL).merge(current)) == URL


@given(files())
def test_a_second_merge_changes_nothing(current):
    """Another URL gives the same result as a merge into the original file."""
    once = YumConf("http://other.corp:1").merge(current)
    assert YumConf("http://other.corp:1").merge(once) == once
    assert YumConf(URL).merge(once) == YumConf(URL).merge(current)


@given(files(parts=OPTION | HEADER))
def test_only_one_line_is_added(current):
    """The merged file without that line is the old file, plus a [main] if there was none."""
    assume(b"[main]" in current)
    edited = YumConf(URL).merge(current)
    assert edited.count(OURS) == 1
    rest = edited.replace(OURS, b"")
    assert rest == current or rest == current + b"\n"


@given(files(), st.lists(OPTION, max_size=3))
def test_restore_keeps_options_that_others_added(before, added):
    """Appended options stay, and configparser reads the original values again."""
    tail = b"[late]\n" + b"".join(option + b"\n" for option in added)
    restored = YumConf.restore(YumConf(URL).merge(before) + tail, before)
    assert restored.endswith(tail)
    parsers = [configparser.ConfigParser(interpolation=None, strict=False) for _ in range(2)]
    for parser, text in zip(parsers, (before, restored)):
        parser.read_string(text.decode())
        parser.remove_section("late")
    old, new = ({name: words(section) for name, section in parser.items()} for parser in parsers)
    assert new == old


@given(files(parts=OPTION | HEADER))
def test_restore_removes_only_our_line(before):
    """A restore after a merge gives the original, except for an added newline at its end."""
    restored = YumConf.restore(YumConf(URL).merge(before), before)
    assert restored in (before, before + b"\n")


@pytest.mark.parametrize(
    ("current", "before", "restored"),
    [
        (b"[main]\n" + OURS, None, b""),
        (b"[main]\n" + OURS + b"a=1\n", None, b"[main]\na=1\n"),
        (b"[main]\n" + OURS + b"a=1\n", b"[main]\nproxy=old\n", b"[main]\nproxy=old\na=1\n"),
        # The old line had no newline and is no longer the last one.
        (b"[main]\n" + OURS + b"a=1\n", b"[main]\nproxy=old", b"[main]\nproxy=old\na=1\n"),
        (b"[main]\n" + OURS + b"a=1\n", b"[main]\nproxy=old\n  more\nb=1\n", b"[main]\nproxy=old\n  more\na=1\n"),
        # [main] was added by the agent too.
        (b"[x]\na=1\n\n[main]\n" + OURS, b"[x]\na=1\n", b"[x]\na=1\n"),
        (b"[x]\na=1\n\n[main]\n" + OURS + b"\n[y]\n", b"[x]\na=1\n", b"[x]\na=1\n\n[y]\n"),
        (b"[x]\na=1\n\n[main]\n" + OURS + b"b=1\n", b"[x]\na=1\n", b"[x]\na=1\n\n[main]\nb=1\n"),
        # A line that others put right above it stays.
        (b"[x]\na=1\n\nenabled=0\n[main]\n" + OURS, b"[x]\na=1\n", b"[x]\na=1\n\nenabled=0\n"),
        (b"[x]\na=1\n\n# c\n[main]\n" + OURS, b"[x]\na=1\n", b"[x]\na=1\n\n# c\n"),
        # User and password come back with the old proxy.
        (
            b"[main]\n" + OURS + b"a=1\n",
            b"[main]\nproxy_username=u\nproxy=old\nproxy_password=p\n",
            b"[main]\nproxy_username=u\nproxy=old\nproxy_password=p\na=1\n",
        ),
        # A removed line of another section comes back as the last of its section, if that exists.
        (
            b"[main]\n" + OURS + b"[x]\na=1\n# c\n\n[y]\n",
            b"[main]\n[x]\n" + OURS,
            b"[main]\n[x]\na=1\n" + OURS + b"# c\n\n[y]\n",
        ),
        (
            b"[main]\n" + OURS + b"[x]\na=1",
            b"[main]\n[x]\nproxy=http://proxy.corp:3128",
            b"[main]\n[x]\na=1\nproxy=http://proxy.corp:3128",
        ),
        (b"[main]\n" + OURS + b"[y]\n", b"[main]\n[x]\n" + OURS, b"[main]\n[y]\n"),
        (b"[main]\n" + OURS + b"a=1\n", OURS + b"[main]\n", OURS + b"[main]\na=1\n"),
        # Others removed the agent's line: the old one does not come back.
        (b"[main]\na=1\n", b"[main]\nproxy=old\n", b"[main]\na=1\n"),
    ],
)
def test_restore(current, before, restored):
    """The original proxy lines of [main] come back in the same place; edits of others stay."""
    assert YumConf.restore(current, before) == restored


@pytest.mark.parametrize(
    ("before", "note"),
    [
        (b"[main]\na=1\n", ""),
        (b"[main]\nproxy=old\n", "yum.conf: 1 earlier proxy line in [main] is replaced"),
        (b"[main]\nproxy=old\n  more\nproxy=old\n", "yum.conf: 2 earlier proxy lines in [main] are replaced"),
        (b"[main]\n[repo]\n" + OURS, "yum.conf: 1 line with the same proxy in [repo] is removed"),
        (b"[x]\n" + OURS * 2 + b"[y]\n" + OURS, "yum.conf: 3 lines with the same proxy in [x], [y] are removed"),
        (
            b"[main]\nproxy=old\nproxy_username=u\nproxy_password=p\n[x]\nproxy_username=v\n",
            (
                "yum.conf: 1 earlier proxy line in [main] is replaced; "
                "user and password of an earlier proxy in [main] (proxy_username, proxy_password) are removed"
            ),
        ),
        (b"[repo]\nproxy=_none_\n", 'yum.conf: [repo] keeps its own proxy, "_none_"'),
        (
            b"[main]\nproxy=old\n[repo]\nproxy=http://me:secret@other:1\n",
            'yum.conf: 1 earlier proxy line in [main] is replaced; [repo] keeps its own proxy, "***@other:1"',
        ),
    ],
)
def test_the_note_lists_earlier_proxies(before, note):
    """It names replaced, removed and kept proxies, without a password."""
    assert YumConf(URL).note(before) == note


@pytest.mark.parametrize(
    ("current", "cleaned"),
    [
        (None, None),
        (b"[main]\na=1\n", b"[main]\na=1\n"),
        (
            b"[main]\nproxy=x\nproxy_username=u\nproxy_password=p\na=1\n[r]\nproxy=y\n",
            b"[main]\na=1\n[r]\nproxy=y\n",
        ),
    ],
)
def test_without_a_proxy_user_and_password_go_too(current, cleaned):
    """`clean` leaves neither in an image; other sections stay."""
    assert YumConf(None).merge(current) == cleaned


@pytest.mark.parametrize("file", [YumConf(URL, is_created=False), DnfConf(URL)])
def test_a_file_is_edited_although_it_would_not_be_created(file):
    """Without yum and dnf, no file is created."""
    assert file.merge(None) is None
    assert file.merge(b"[main]\n") == b"[main]\n" + OURS
