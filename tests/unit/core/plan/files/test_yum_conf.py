"""yum.conf and dnf.conf as text: one `proxy=` in [main], everything else as it was."""

import configparser

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from agent.core.plan.files.yum_conf import YumConf

URL = "http://proxy.corp:3128"
OURS = b"proxy=http://proxy.corp:3128\n"


def read_back(text):
    """proxy of [main] as Python's configparser reads it: the last of two wins, an indented line
    continues a value.
    """
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read_string(text.decode("utf-8"))
    return parser.get("main", "proxy")


def words(section):
    """A section as values without their line breaks; blank lines inside the old proxy value may
    move.
    """
    return {key: value.split() for key, value in section.items()}


# Whole options as people write them; one may have several lines.
OPTION = st.sampled_from(
    [b"gpgcheck=1", b"# proxy=x", b";proxy=x", b"", b" ", b"exclude=a\n b", b"exclude=a\n\n\tb", b"proxy_username=me",
     b"proxy_password = secret", b"proxy_auth_method=any", b"sslproxy=1", b"cachedir=/var/$basearch", b"  # indented"]
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
    ]
)
HEADER = st.sampled_from([b"[main]", b"[main] # ours", b"[fedora]", b"[ main2 ]"])


@st.composite
def files(draw, parts=OPTION | PROXY | HEADER):
    """A file that starts with a header (options before any are an error to all readers), LF or
    CRLF.
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
        # Replaced where it stood, although a comment says otherwise.
        (b"[main]\na=1\nproxy=old\nb=1\n", b"[main]\na=1\n" + OURS + b"b=1\n"),
        (b"[main]\na=1\nproxy=old", b"[main]\na=1\n" + OURS),
        (b"[main]\n#proxy=old\na=1\n", b"[main]\n" + OURS + b"#proxy=old\na=1\n"),
        # The recipe appends once for each boot.
        (b"[main]\na=1\nproxy=old\nproxy=old\n", b"[main]\na=1\n" + OURS),
        (b"[main]\nproxy=a\nb=1\nproxy=c\n", b"[main]\n" + OURS + b"b=1\n"),
        # And to whatever section comes last: there our own URL goes, and only that.
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
        # Continuation lines go with the value that they continue, also across blank lines and
        # comments.
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
            b"[main]\n" + OURS + b"proxy_username=me\nproxy_password=x\nproxy_auth_method=any\n",
        ),
        (b"[main]\nname=\xe4\0\n", b"[main]\n" + OURS + b"name=\xe4\0\n"),
    ],
)
def test_one_proxy_line_in_main(current, edited):
    """The line stands once, in [main], and every other line stays byte for byte."""
    assert YumConf(URL).merge(current) == edited


@given(files())
@example(b"[main]\nproxy=a\n\n  b\nexclude=x")
def test_an_independent_parser_reads_our_value(current):
    """Whatever stood there before, configparser reads exactly our URL from [main]."""
    assert read_back(YumConf(URL).merge(current)) == URL


@given(files())
def test_editing_twice_is_editing_once(current):
    """A second edit changes nothing, and another URL gives what it would have given on the
    original.
    """
    once = YumConf("http://other.corp:1").merge(current)
    assert YumConf("http://other.corp:1").merge(once) == once
    assert YumConf(URL).merge(once) == YumConf(URL).merge(current)


@given(files(parts=OPTION | HEADER))
def test_only_one_line_is_added(current):
    """Without a proxy before, the edited file minus our line is the old file (and a [main], if
    there was none).
    """
    assume(b"[main]" in current)
    edited = YumConf(URL).merge(current)
    assert edited.count(OURS) == 1
    rest = edited.replace(OURS, b"")
    assert rest == current or rest == current + b"\n"


@given(files(), st.lists(OPTION, max_size=3))
def test_restore_keeps_what_others_added(before, added):
    """Options that somebody appended since stay, and what configparser reads is as it was before
    us.
    """
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
def test_restore_takes_back_only_our_line(before):
    """restore after edit gives the original, but for a newline that had to be added at its end."""
    restored = YumConf.restore(YumConf(URL).merge(before), before)
    assert restored in (before, before + b"\n")


@pytest.mark.parametrize(
    ("current", "before", "restored"),
    [
        (b"[main]\n" + OURS, None, b""),
        (b"[main]\n" + OURS + b"a=1\n", None, b"[main]\na=1\n"),
        (b"[main]\n" + OURS + b"a=1\n", b"[main]\nproxy=old\n", b"[main]\nproxy=old\na=1\n"),
        # The old line had no newline, and is not the last one any more.
        (b"[main]\n" + OURS + b"a=1\n", b"[main]\nproxy=old", b"[main]\nproxy=old\na=1\n"),
        (b"[main]\n" + OURS + b"a=1\n", b"[main]\nproxy=old\n  more\nb=1\n", b"[main]\nproxy=old\n  more\na=1\n"),
        # [main] was ours too.
        (b"[x]\na=1\n\n[main]\n" + OURS, b"[x]\na=1\n", b"[x]\na=1\n"),
        (b"[x]\na=1\n\n[main]\n" + OURS + b"\n[y]\n", b"[x]\na=1\n", b"[x]\na=1\n\n[y]\n"),
        (b"[x]\na=1\n\n[main]\n" + OURS + b"b=1\n", b"[x]\na=1\n", b"[x]\na=1\n\n[main]\nb=1\n"),
        # So does the line that repeated ours, as the last of its section if that is still there.
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
        # Somebody took our line out: then that is how they want it.
        (b"[main]\na=1\n", b"[main]\nproxy=old\n", b"[main]\na=1\n"),
    ],
)
def test_restore(current, before, restored):
    """[main]'s proxy lines of the original come back where ours stood; edits of others stay."""
    assert YumConf.restore(current, before) == restored


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (b"[main]\na=1\n", ""),
        (b"[main]\nproxy=old\n", "yum.conf: 1 earlier proxy line in [main] is replaced"),
        (b"[main]\nproxy=old\n  more\nproxy=old\n", "yum.conf: 2 earlier proxy lines in [main] are replaced"),
        (b"[main]\n[repo]\n" + OURS, "yum.conf: 1 line with the same proxy in [repo] is removed"),
        (b"[x]\n" + OURS * 2 + b"[y]\n" + OURS, "yum.conf: 3 lines with the same proxy in [x], [y] are removed"),
        (b"[repo]\nproxy=_none_\n", 'yum.conf: [repo] keeps its own proxy, "_none_"'),
        (
            b"[main]\nproxy=old\n[repo]\nproxy=http://me:secret@other:1\n",
            'yum.conf: 1 earlier proxy line in [main] is replaced; [repo] keeps its own proxy, "***@other:1"',
        ),
    ],
)
def test_what_was_there_is_told(before, said):
    """The note names what is replaced, what is removed and what stays, in good English and without
    a password.
    """
    assert YumConf(URL).note(before) == said
