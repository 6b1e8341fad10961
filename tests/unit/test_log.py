"""Log lines: one line an event, easy to grep and to query in the journal, without credentials."""

import ast
import io
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
from agent.errors import AgentError
from agent.exits import guarded

PROXY = ProxyUrl("http", "proxy.corp", 3128)


@pytest.fixture
def line(monkeypatch, capsys):
    """A function that logs an event and returns its line; nothing may go to stdout."""
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
        ('http://other/ http://user:@U"S3cr3t@host', "http://***@host"),
        ("proxy=user:pw@host:1http://x", "proxy=***@host:1http://x"),
        ("no_proxy=a.corp, user:secret@b.corp, c.corp", "no_proxy=***@b.corp, c.corp"),
        ("NO_PROXY='a.corp user:secret@b.corp'", "NO_PROXY='***@b.corp'"),
        ("no_proxy=a,http://me:secret@b", "no_proxy=a,http://***@b"),
        ("no_proxy=a http_proxy=http://me:secret@b", "no_proxy=a http_proxy=http://***@b"),
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
        ('proxy.url: "http://me:S3cret/proxy.corp:3128" has a path', 'proxy.url: "http://***" has a path'),
        ("https://me:S3cret;proxy.corp:3128\nb", "https://***\nb"),
        ("http://me:12S3cret,proxy.corp:3128 b", "http://*** b"),
        ('["http://me:S3"c\'ret/proxy:1", "http://b:2"]', '["http://***", "http://b:2"]'),
        ("http_proxy=me:S3cret/proxy:3128", "http_proxy=***"),
        ('proxy = "me:S3cret/proxy:3128"', 'proxy = "***"'),
        ("https_proxy=me:S3cret/x http://b:2", "https_proxy=*** http://b:2"),
        ("no_proxy=fd00::/8,a:b", "no_proxy=fd00::/8,a:b"),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        ("http://a:1,http://b:2;c:3", "http://a:1,http://b:2;c:3"),
        ("http://a:3128: refused (http://a:1).", "http://a:3128: refused (http://a:1)."),
        ("expected http://HOST:PORT, or https://HOST", "expected http://HOST:PORT, or https://HOST"),
        ("http://a: refused", "http://a: refused"),
    ],
)
def test_redact(text, redacted):
    """User info and passwords are masked, and the text around them stays readable."""
    assert log.redact(text) == redacted
    assert log.redact(redacted) == redacted


def texts_of_the_agent():
    """Yield every text in agent/ except docstrings, with its place."""
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


def test_no_text_of_the_agent_looks_like_a_secret():
    """A message keeps its words whatever value is inserted.

    `a password: needs root`, for example, would end at the colon.
    """
    urls = [text for _, text in texts_of_the_agent() if "%s@%s" in text]
    assert len(urls) == 1, "only one text builds a URL with credentials, which the mask is for"
    texts = [(place, text.replace("://%s:%s", "://%s:1")) for place, text in texts_of_the_agent() if text not in urls]
    texts = [(place, text if re.search(r"://[\w%]+:\w+$", text) else text + "x") for place, text in texts]
    masked = [(place, text) for place, text in texts if log.redact(text) != text]
    assert masked == []


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "SECRET",
        "A_",
        "a://",
        "proxy=",
        "proxy= ",
        "a:// ",
        'a://"',
        "proxy=a://",
        'proxy="',
        "proxy=a b ",
        "a://b",
    ],
)
def test_redact_scans_a_line_of_a_megabyte_once(text):
    """A pattern that tries again at each letter would take an hour, and no time limit ends it."""
    line = text * (1_000_000 // len(text))
    assert log.redact(line) == line


#: The rule as one pattern: easier to verify, but it takes hours for the lines above.
RULE = re.compile(
    r"(?P<path>(?<!\S)/[^\s:=]{0,4096}(?=: ))"
    r"|(?P<url>[A-Za-z][A-Za-z0-9+.-]{0,63}://)(?:\S*@|[^\n\"']*@(?:\S*@)?)"
    r"|(?P<bare>(?i:proxy)[ \t]*=[ \t]*[\"']?)(?:(?![^\s@]*://)\S*@|(?![^\n\"'@]*://)[^\n\"']*@(?:\S*@)?)"
    r"|(?P<mistyped>[A-Za-z][A-Za-z0-9+.-]{0,63}://|(?<![nN][oO]_)(?i:proxy)[ \t]*=[ \t]*[\"']?)"
    r"[^\s/:@\"'\[\],]{1,255}:(?!//|:|PORT\b|\*\*\*|[0-9]{1,5}(?![\w%$!~*&+-]))"
    r"(?:[^\s\"']|[\"'](?![\s,;:\])}.]|\Z))+"
    r"|(?P<key>(?i:pass(?:word|wd)?)[ \t]*[=:][ \t]*)\S[^\n]*"
    r"|(?P<name>\b[A-Z0-9_]{0,32}(?:SECRET|TOKEN|API_?KEY|ACCESS_KEY)[A-Z0-9_]{0,32}[ \t]*=[ \t]*)\S[^\n]*"
)
MASK = {"mistyped": "***", "path": "", "url": "***@", "bare": "***@", "key": "***", "name": "***"}
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
def test_redact_agrees_with_the_rule(text):
    """A URL is masked up to the last @ of its word or phrase, a password to the end of its line."""
    assert log.redact(text) == RULE.sub(lambda match: match.group(match.lastgroup) + MASK[match.lastgroup], text)


def test_scheme_named_pass_is_masked():
    """`pass://` could be both, and is masked as a password, which hides more."""
    assert log.redact("pass://me:secret@h secret") == "pass:***"


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda text: ":" not in text),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
    st.sampled_from(["%s", "http_proxy=%s\nA=1\n", "-proxy = %s", 'cannot reach "%s": refused', "https_proxy='%s'"]),
)
def test_redact_masks_all_credentials_of_the_agent(user, password, around):
    """As the agent writes them, percent-encoded, with any characters and anywhere in a text."""
    url = PROXY.with_credentials(Credentials(user, password))
    secret = url[len("http://") : url.index("@")]
    assert log.redact(around % url) == around % "http://***@proxy.corp:3128"
    assert len(secret) < 12 or secret not in log.redact(around % url)


def test_line_has_level_event_and_values(line):
    """The values are in the order of the arguments."""
    assert (
        line("info", "file.changed", file="/etc/environment", number=3)
        == "info: file.changed file=/etc/environment number=3"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
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
def test_values_are_quoted_where_needed(line, value, expected):
    """One event is one line, whatever an error text or a file holds.

    Control characters never reach a terminal.
    """
    assert line("warning", "event", value=value) == "warning: event value=" + expected


@given(st.text())
def test_any_value_is_one_printable_line(text):
    """This holds for any characters."""
    rendered = log._value(text)
    assert rendered.isprintable()
    assert rendered == text or rendered.startswith('"')


@pytest.mark.parametrize("value", ["http://me:secret@proxy.corp:1", ("a", "http://me:secret@proxy.corp:1")])
@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_credentials_are_not_logged(line, level, value):
    """Neither are those in a list."""
    text = line(level, "event", error=value)
    assert "secret" not in text
    assert "http://***@proxy.corp:1" in text


@pytest.mark.parametrize(("level", "prefix"), [("info", "<6>"), ("warning", "<4>"), ("error", "<3>")])
def test_journal_gets_the_level_as_a_prefix(line, monkeypatch, level, prefix):
    """sd-daemon(3): `journalctl -p warning` finds the warnings."""
    monkeypatch.setattr(journal, "is_stderr_connected", lambda: True)
    monkeypatch.setitem(sys.modules, "systemd._journal", None)  # as without systemd-python
    assert line(level, "node.degraded", error="x") == prefix + "node.degraded error=x"


def test_journal_entries_have_fields(monkeypatch):
    """Each entry has the name of its event and standard fields, without credentials."""
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


def test_journal_entry_may_hold_any_file_name(monkeypatch):
    """Bytes that are not UTF-8 are surrogates in Python, at which systemd-python fails."""
    sent = []
    monkeypatch.setitem(sys.modules, "systemd", ModuleType("systemd"))
    monkeypatch.setitem(sys.modules, "systemd._journal", ModuleType("systemd._journal"))
    monkeypatch.setattr(sys.modules["systemd._journal"], "sendv", lambda *fields: sent.extend(fields), raising=False)
    assert journal.send("FILE=" + os.fsdecode(b"/etc/\xff"), "UNIT=größe") is True
    assert sent == [rb"FILE=/etc/\udcff", "UNIT=größe".encode()]


@pytest.mark.parametrize("error", [OSError(32, "Broken pipe"), ValueError("embedded null byte")])
def test_journal_that_is_gone_is_not_an_error(monkeypatch, error):
    """The line goes to stderr instead."""

    def sendv(*fields):
        raise error

    monkeypatch.setitem(sys.modules, "systemd", ModuleType("systemd"))
    monkeypatch.setitem(sys.modules, "systemd._journal", ModuleType("systemd._journal"))
    monkeypatch.setattr(sys.modules["systemd._journal"], "sendv", sendv, raising=False)
    assert journal.send("MESSAGE=x") is False


@pytest.mark.parametrize("stream", ["none", "closed", "full"])
def test_log_that_cannot_be_written_is_not_an_error(monkeypatch, capfd, stream):
    """Neither is the error of a command; nothing goes to stdout instead."""
    if stream == "closed":
        file = open(os.devnull, "w")  # noqa: SIM115
        file.close()
    else:
        file = FullFile()
    monkeypatch.setattr("sys.stderr", None if stream == "none" else file)
    structlog.reset_defaults()

    def work():
        log.get_logger().error("node.degraded", error="x")
        raise AgentError("wrong", hint="x")

    code = guarded(work)
    structlog.reset_defaults()
    monkeypatch.undo()
    assert (code, capfd.readouterr().out) == (1, "")


class FullFile(io.StringIO):
    """A file on a full disk."""

    def write(self, text):
        raise OSError(28, "No space left on device")


@pytest.mark.allows("subprocess")
def test_structlog_is_imported_only_to_log():
    """It costs 70 ms, and most commands log nothing."""
    import subprocess

    code = "import sys, agent.log; agent.log.redact('x'); sys.exit('structlog' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("stream", [None, "", "8:1234", "nonsense"])
def test_journal_of_an_ancestor_is_not_used(monkeypatch, stream):
    """Scripts of cloud-init inherit JOURNAL_STREAM, and their stderr is a log file."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    if stream is not None:
        monkeypatch.setenv("JOURNAL_STREAM", stream)
    assert journal.is_stderr_connected() is False


def test_journal_is_recognised_by_device_and_inode(monkeypatch):
    """systemd.exec(5): JOURNAL_STREAM names the file that stderr is."""
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    assert journal.is_stderr_connected() is True


@pytest.fixture
def plain(monkeypatch):
    """Log to stderr, which is not the journal."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    structlog.reset_defaults()


@pytest.mark.usefixtures("plain")
def test_deferred_events_come_at_the_end(capfd):
    """Events of a boot are logged after READY=1, in their order, with levels and values."""
    with log.deferred_log():
        log.get_logger().info("first", file="/etc/environment")
        log.get_logger().error("second", error="x")
        assert capfd.readouterr().err == ""
    log.get_logger().info("third")
    assert capfd.readouterr().err == "info: first file=/etc/environment\nerror: second error=x\ninfo: third\n"


@pytest.mark.usefixtures("plain")
def test_deferred_events_come_when_the_boot_waits(capfd):
    """From then on each event is logged at once, also by a logger that is kept."""
    with log.deferred_log():
        kept = log.get_logger()
        kept.info("first")
        log.flush_log()
        assert capfd.readouterr().err == "info: first\n"
        kept.info("second")
        assert capfd.readouterr().err == "info: second\n"


@pytest.mark.usefixtures("plain")
def test_deferred_events_survive_an_exception(capfd):
    """What led to it is in the log."""

    def fail():
        with log.deferred_log():
            log.get_logger().info("first")
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert capfd.readouterr().err == "info: first\n"
