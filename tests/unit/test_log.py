"""Log lines: one line an event, in a shape that grep and the journal understand, and never a
credential.
"""

import ast
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from agent import journal, log
from agent.core.net.proxy_url import Credentials, ProxyUrl

PROXY = ProxyUrl("http", "proxy.corp", 3128)


@pytest.fixture
def line(monkeypatch, capsys):
    """Log something; the line that came out, and nothing on stdout."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    structlog.reset_defaults()

    def logged(level, event, **values):
        getattr(log.get_logger(), level)(event, **values)
        out, err = capsys.readouterr()
        assert out == ""
        assert err.endswith("\n")
        assert err.count("\n") == 1
        return err[:-1]

    yield logged
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("http://me:secret@proxy.corp:3128", "http://***@proxy.corp:3128"),
        ("https://me@proxy.corp", "https://***@proxy.corp"),
        ("http://me:p@ss:w/ord@proxy.corp:1", "http://***@proxy.corp:1"),
        ("proxy=http://me:secret@a:1\n-proxy=http://you:secret@b:2\n", "proxy=http://***@a:1\n-proxy=http://***@b:2\n"),
        ("http://proxy.corp:3128", "http://proxy.corp:3128"),
        ("mail me@corp", "mail me@corp"),
        ("http://a:1,b@c", "http://***@c"),
        ("http_proxy=me:secret@proxy:3128", "http_proxy=***@proxy:3128"),
        ("http://me:se,cr'et@h", "http://***@h"),
        ("proxy_password = secret\nbest=1", "proxy_password = ***\nbest=1"),
        ("+proxy_password=se cret # x\n best=1", "+proxy_password=***\n best=1"),
        ("PASSWORD: secret", "PASSWORD: ***"),
        ("passwd=x pass=y", "passwd=***"),
        (" AWS_SECRET_ACCESS_KEY=s/e+c\n A=1\n", " AWS_SECRET_ACCESS_KEY=***\n A=1\n"),
        ("+export GITHUB_TOKEN = s3cret x\n", "+export GITHUB_TOKEN = ***\n"),
        (
            "PUT http://169.254.169.254/latest/api/token: timed out",
            "PUT http://169.254.169.254/latest/api/token: timed out",
        ),
        ("no password here", "no password here"),
        ("a: /etc/proxy-password: is a directory", "a: /etc/proxy-password: is a directory"),
        ("--root /etc/passwd: not a directory", "--root /etc/passwd: not a directory"),
        ("/etc/x: password: secret", "/etc/x: password: ***"),
        ("+/etc/password: secret", "+/etc/password: ***"),
        ("/etc/password:secret", "/etc/password:***"),
        ("line 3: proxy.password: unknown key; did you", "line 3: proxy.password: unknown key; did you"),
        ("flags: password: unknown section", "flags: password: unknown section"),
        ("proxy.password: unknown", "proxy.password: ***"),
        ("password=\nbest=1", "password=\nbest=1"),
    ],
)
def test_redact(text, redacted):
    """User info and passwords go, and what stands around them stays readable."""
    assert log.redact(text) == redacted
    assert log.redact(redacted) == redacted


def texts_of_ours():
    """Every text in agent/ but the docstrings, with its place."""
    for path in sorted(Path(log.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        statements = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
        formatted = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
        parts = {part for node in formatted for part in node.values}
        for node in formatted:
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "%s" for part in node.values)
            yield f"{path.name}:{node.lineno}", text
        for node in ast.walk(tree):
            plain = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if plain and node not in statements and node not in parts:
                yield f"{path.name}:{node.lineno}", node.value


def test_no_message_of_ours_reads_like_a_secret():
    """Whatever is put after or into it, a message keeps its own words: `a password: needs root`
    would end at the colon.
    """
    urls = [text for _, text in texts_of_ours() if "%s@%s" in text]
    assert len(urls) == 1, "the one that makes a URL with credentials is what the mask is for"
    masked = [
        (place, text) for place, text in texts_of_ours() if text not in urls and log.redact(text + "x") != text + "x"
    ]
    assert masked == []


@pytest.mark.parametrize("text", ["x", "SECRET", "A_", "a://", "proxy=", "proxy= ", "a:// ", 'a://"', "proxy=a://"])
def test_redact_takes_a_line_of_a_megabyte(text):
    """In one go over it: a pattern that tries again at each letter would take an hour, and no time
    limit of ours ends it.
    """
    line = text * (1_000_000 // len(text))
    assert log.redact(line) == line


#: The rule as one pattern, which is easier to believe, and takes hours for the lines above.
RULE = re.compile(
    r"(?P<path>(?<!\S)/[^\s:=]{0,4096}(?=: ))"
    r"|(?P<url>[A-Za-z][A-Za-z0-9+.-]{0,63}://)(?:\S*@|[^\n\"']*@)"
    r"|(?P<bare>(?i:proxy)[ \t]*=[ \t]*[\"']?)(?!\S*://)\S*@"
    r"|(?P<key>(?i:pass(?:word|wd)?)[ \t]*[=:][ \t]*)\S[^\n]*"
    r"|(?P<name>\b[A-Z0-9_]{0,32}(?:SECRET|TOKEN|API_?KEY|ACCESS_KEY)[A-Z0-9_]{0,32}[ \t]*=[ \t]*)\S[^\n]*"
)
MASK = {"path": "", "url": "***@", "bare": "***@", "key": "***", "name": "***"}
WORDS = [
    "a",
    "://",
    "@",
    " ",
    "\n",
    '"',
    "'",
    "=",
    ":",
    "/",
    "\t",
    "proxy",
    "pass",
    "TOKEN",
    "/x: ",
    "s3cret",
    "x://",
    ",",
]


@given(st.lists(st.sampled_from(WORDS), max_size=30).map("".join).filter(lambda text: "pass://" not in text))
def test_redact_masks_what_the_rule_says(text):
    """Up to the last @ of the word, else of the phrase; a password that is called so, to the end of
    its line.
    """
    assert log.redact(text) == RULE.sub(lambda match: match.group(match.lastgroup) + MASK[match.lastgroup], text)


def test_a_scheme_that_is_called_pass_is_no_way_out():
    """`pass://` could be both, and is masked as the one of which less is shown."""
    assert log.redact("pass://me:secret@h secret") == "pass:***"


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda text: ":" not in text),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
    st.sampled_from(["%s", "http_proxy=%s\nA=1\n", "-proxy = %s", 'cannot reach "%s": refused', "https_proxy='%s'"]),
)
def test_no_credentials_of_ours_survive(user, password, around):
    """As we write them, percent-encoded, whatever they are and wherever the URL stands."""
    url = PROXY.with_credentials(Credentials(user, password))
    secret = url[len("http://") : url.index("@")]
    assert log.redact(around % url) == around % "http://***@proxy.corp:3128"
    assert len(secret) < 12 or secret not in log.redact(around % url)


def test_a_line_is_level_event_and_values(line):
    """The values in the order in which they were given."""
    assert (
        line("info", "file.changed", file="/etc/environment", number=3)
        == "info: file.changed file=/etc/environment number=3"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "hi"', r'"say \"hi\""'),
        ("one\ntwo", r'"one\ntwo"'),
        ("\x1b[31mred", r'"\x1b[31mred"'),
        ("back\\slash here", r'"back\\slash here"'),
        ("\udcff", r'"\udcff"'),
        ("\u2028", r'"\u2028"'),
        ("größe", "größe"),
        (("a", "b"), "a,b"),
        (["a b"], '"a b"'),
        ((), '""'),
        (None, "None"),
        (True, "True"),
    ],
)
def test_values_that_need_it_are_quoted(line, value, shown):
    """One event is one line, whatever an error text or a file brings along, and a terminal is not
    written to.
    """
    assert line("warning", "event", value=value) == "warning: event value=" + shown


@given(st.text())
def test_any_value_makes_one_printable_line(text):
    """Whatever the characters."""
    shown = log._value(text)
    assert shown.isprintable()
    assert shown == text or shown.startswith('"')


@pytest.mark.parametrize("value", ["http://me:secret@proxy.corp:1", ("a", "http://me:secret@proxy.corp:1")])
@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_credentials_never_reach_a_line(line, level, value):
    """Nor do those of a list."""
    text = line(level, "event", error=value)
    assert "secret" not in text
    assert "http://***@proxy.corp:1" in text


@pytest.mark.parametrize(("level", "prefix"), [("info", "<6>"), ("warning", "<4>"), ("error", "<3>")])
def test_the_journal_gets_the_level_its_own_way(line, monkeypatch, level, prefix):
    """sd-daemon(3): `journalctl -p warning` finds the warnings."""
    monkeypatch.setattr(journal, "is_stderr_connected", lambda: True)
    monkeypatch.setitem(sys.modules, "systemd._journal", None)  # as where systemd-python is not installed
    assert line(level, "node.degraded", error="x") == prefix + "node.degraded error=x"


def test_the_journal_gets_fields(monkeypatch):
    """Each entry has the name of its event, what it is about under the field's own names, and no
    credentials.
    """
    sent = []
    monkeypatch.setattr(journal, "is_stderr_connected", lambda: True)
    monkeypatch.setattr(log, "_send", lambda *entry: sent.append(entry) or True)
    structlog.reset_defaults()
    log.get_logger().warning("units.stale", units=("a.service", "b.service"), reason="http://me:secret@p:1", more=1)
    structlog.reset_defaults()
    ((level, text, fields),) = sent
    assert (level, text.split()[0]) == ("warning", "units.stale")
    assert fields == [
        "EKS_PROXY_EVENT=units.stale",
        "UNIT=a.service",
        "UNIT=b.service",
        "REASON=http://***@p:1",
        "EKS_PROXY_MORE=1",
    ]


def test_the_journal_takes_the_name_of_any_file(monkeypatch):
    """Python has bytes that are no UTF-8 as halves of characters, at which systemd-python fails."""
    sent = []
    monkeypatch.setitem(sys.modules, "systemd", ModuleType("systemd"))
    monkeypatch.setitem(sys.modules, "systemd._journal", ModuleType("systemd._journal"))
    monkeypatch.setattr(sys.modules["systemd._journal"], "sendv", lambda *fields: sent.extend(fields), raising=False)
    assert journal.send("FILE=" + os.fsdecode(b"/etc/\xff"), "UNIT=größe") is True
    assert sent == [rb"FILE=/etc/\udcff", "UNIT=größe".encode()]


@pytest.mark.allows("subprocess")
def test_structlog_is_not_imported_before_somebody_logs():
    """It costs 70 ms, and most commands log nothing."""
    import subprocess

    code = "import sys, agent.log; agent.log.redact('x'); sys.exit('structlog' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("stream", [None, "", "8:1234", "nonsense"])
def test_a_journal_of_somebody_else_is_none(monkeypatch, stream):
    """cloud-init's scripts inherit JOURNAL_STREAM, and their stderr is a log file."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    if stream is not None:
        monkeypatch.setenv("JOURNAL_STREAM", stream)
    assert journal.is_stderr_connected() is False


def test_the_journal_is_known_by_device_and_inode(monkeypatch):
    """systemd.exec(5): JOURNAL_STREAM names the file that stderr is."""
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    assert journal.is_stderr_connected() is True
