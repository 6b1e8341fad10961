"""Settings as TOML and as flags, and the Intent composed from them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.record import fields
from agent.core.settings.schema import SECTIONS
from agent.core.settings.toml_text import USER_DATA_LIMIT
from tests.fuzz import readers
from tests.fuzz.bounds import Bomb, assert_bounded

KEYS = [f"{section}.{field.name}" for section, cls in SECTIONS.items() for field in fields(cls)]
NAMES = st.sampled_from([*KEYS, *SECTIONS, "url", "no_proxy", "proxy.urls", "a", '"a.b"', "''", "a." * 70 + "a"])
TEXTS = st.sampled_from(
    "auto never http://proxy:3128 https://[fd00::1]:1 http://u:p@x:1 .corp *.corp 10.0.0.0/8 ::/1 0.0.0.0/0 fd00::1 a:80 "
    "kube-system/ds/aws-node /etc/x ../x docker docker.socket eu-central-1 private changed a.b-c_d xn--a \u00fc".split()
) | st.text(max_size=8)
SCALARS = (
    TEXTS.map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"')
    | st.sampled_from(["true", "1", "-1", "3600", "1e400", "nan", "inf", "0x" + "f" * 4000, "9" * 4400, "1979-05-27"])
    | st.integers().map(str)
    | st.floats().map(repr)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda values: "[" + ", ".join(values) + "]")
        | st.tuples(NAMES, inner).map(lambda pair: "{" + pair[0] + " = " + pair[1] + "}")
    ),
    max_leaves=6,
)
LINES = st.one_of(
    st.builds("{} = {}".format, NAMES, VALUES),
    NAMES.map("[{}]".format),
    NAMES.map("[[{}]]".format),
    st.sampled_from(["", "# x", '"""', "'''", "\r", "=", "\\", "\ufeff"]),
)
DOCUMENTS = st.lists(LINES, max_size=8).map(lambda lines: "\n".join(lines).encode("utf-8", "replace"))


@given(DOCUMENTS | st.binary(max_size=60))
def test_any_settings_are_read_or_refused(data: bytes) -> None:
    """Any text is either settings, from which an Intent is composed, or an error for people."""
    readers.only_agent_errors(readers.settings, data)


@given(
    st.lists(st.builds("{} = {}".format, st.sampled_from(KEYS), VALUES), max_size=8, unique_by=lambda line: line[:20])
)
def test_any_values_are_read_or_refused(lines: list[str]) -> None:
    """The same for valid TOML with the keys that exist."""
    readers.only_agent_errors(readers.settings, "\n".join(lines).encode("utf-8", "replace"))


def filled(start: str, unit: str, end: str = "") -> Bomb:
    """Return a bomb that repeats `unit`, numbered, up to the limit of a text of user data."""

    def make() -> bytes:
        room = USER_DATA_LIMIT - len(start) - len(end)
        count = room // max(1, len(unit.replace("{}", "12345")))
        return (start + "".join(unit.replace("{}", str(number)) for number in range(count)) + end).encode()

    return Bomb(readers.settings, make)


#: A line with so many dots that the text is searched for deep keys.
DOTS = "#" + "." * 70
URL = '[proxy]\nurl = "http://p:1"\n'
BOMBS = {
    "unknown keys": filled("[proxy]\n", "k{}=1\n"),
    "unknown sections": filled("", "[k{}]\n"),
    "unknown keys at the top": filled("", "k{}=1\n"),
    "unknown keys that need quotes": filled("[proxy]\n", "'k {}'=1\n"),
    "almost known keys": filled("[proxy]\n", "no_proxies{}=1\n"),
    "a long unknown key": filled("[proxy]\n" + "k" * 60_000, "k", " = 1"),
    "a long section": filled("[" + "k" * 60_000, "k", "]"),
    "the same long key": filled("[" + "k" * 30_000 + "]\n[" + "k" * 30_000 + "]", "\n"),
    "a deep key": filled("[proxy]\n", "a.", "a = 1"),
    "deep keys": filled("", "k{}." + "a." * 63 + "a=1\n"),
    "deep sections": filled("", "[k{}." + "a." * 62 + "a]\n"),
    "different deep keys": filled("", "".join(f"a{number}{{}}." for number in range(60)) + "a=1\n"),
    "a deep key in quotes": filled("", '"a".', "a = 1"),
    "a deep key in an inline table": filled("a = {", "a.", "a = 1}"),
    "arrays": filled("a = ", "["),
    "inline tables": filled("a = ", "{a="),
    "many inline tables": filled("a = [", "{a=1},", "]"),
    "tables of an array": filled("", "[[a]]\n"),
    "wrong entries": filled("[proxy]\nno_proxy = [", "'*.{}',", "]"),
    "entries with ports": filled(URL + "no_proxy = [", "'a{}:1',", "]"),
    "entries": filled(URL + "no_proxy = [", "'a{}',", "]"),
    "short entries": filled(URL + "no_proxy = [", "'{}a',", "]"),
    "suffixes": filled(URL + "no_proxy = [", "'.a{}.b',", "]"),
    "nested entries": filled(URL + "no_proxy = [", "'" + "a." * 100 + "b{}',", "]"),
    "networks": filled(URL + "no_proxy = [", "'10.0.{}.0/24',".replace("{}", "{}"), "]"),
    "AWS names": filled(URL + "no_proxy = [", "'s3.us-a{}-north-1.amazonaws.com',".replace("{}", "b"), "]"),
    "IPv6 networks": filled(URL + "[vpc]\ncidrs = [", "'fd00:{}::/64',", "]"),
    "entries in one string": filled("[proxy]\nno_proxy = '", "a{} ", "'"),
    "entries without an end": filled("[proxy]\nno_proxy = '", "*.", "'"),
    "one wrong entry": filled("[proxy]\nno_proxy = ['", "10.*,", "']"),
    "dots of an entry": filled("[proxy]\nno_proxy = ['", ".", "']"),
    "proxies in one string": filled("[proxy]\nurl = '", "http://a{}:1,", "'"),
    "a proxy without a scheme": filled("[proxy]\nurl = '", "a:", "'"),
    "a value without quotes": filled("[proxy]\nurl = ", "a "),
    "a line without quotes": filled("", "\n", "[proxy]\nurl = http://a:1"),
    "units": filled("[node]\nunits = [", "'u{}',", "]"),
    "wrong units": filled("[node]\nunits = [", "'u {}',", "]"),
    "workloads": filled("[cluster]\nworkloads = [", "'a/ds/a{}',", "]"),
    "a long string": filled("[node]\nyum = '", "x", "'"),
    "user info": filled("[proxy]\nurl = '", "http://a:b@", "'"),
    "colons": filled("[check]\nendpoints = ['", ":", "']"),
    "a long integer": filled("[node]\nyum = ", "9"),
    "a long hexadecimal integer": filled("[node]\nyum = 0x", "f"),
    "underscores": filled("[node]\nyum = 1", "_9"),
    "a long float": filled("[node]\nyum = 1.", "9"),
    "quotes": filled(DOTS + "\n", '"'),
    "open strings": filled(DOTS + "\n", '"""\\'),
    "escaped quotes": filled(DOTS + '\na = """', '\\"""'),
    "apostrophes": filled(DOTS + "\n", "'"),
    "a certificate": filled("[node]\nca_bundle = '''-----BEGIN CERTIFICATE-----\n", "A" * 64 + "\n", "'''"),
    "comments": filled(DOTS + "\n", "#."),
    "blanks": filled(DOTS + "\na", " ", "= 1"),
    "newlines": filled("", "\n"),
}


def test_bombs() -> None:
    """Each costs at most five times what the contract allows."""
    assert_bounded("test_settings")
