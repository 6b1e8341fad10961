"""The proxy's URL and its credentials: accepted and rejected forms, errors, and encoding."""

import contextlib
import itertools
import re
import string
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.core.net.proxy_url import (
    Credentials,
    ProxyUrl,
    is_host_name,
    is_percent_encoded,
    parse_credentials,
    parse_proxy_url,
    quoted,
    quoted_proxy,
    split_credentials,
)

URL = ProxyUrl("http", "proxy.corp", 3128)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://proxy:3128", ProxyUrl("http", "proxy", 3128)),
        ("http://proxy.corp.example:3128/", ProxyUrl("http", "proxy.corp.example", 3128)),
        ("HTTP://Proxy.Corp:8080", ProxyUrl("http", "proxy.corp", 8080)),
        ("https://proxy:443", ProxyUrl("https", "proxy", 443)),
        ("http://10.0.0.9:1", ProxyUrl("http", "10.0.0.9", 1)),
        ("http://10.0.0.9:65535", ProxyUrl("http", "10.0.0.9", 65535)),
        ("http://[FD00::0:1]:3128", ProxyUrl("http", "fd00::1", 3128)),
        ("http://[::ffff:a00:1]:3128", ProxyUrl("http", "::ffff:10.0.0.1", 3128)),
        ("http://squid_1.corp:3128", ProxyUrl("http", "squid_1.corp", 3128)),
        ("http://xn--prxy-6qa.corp:3128", ProxyUrl("http", "xn--prxy-6qa.corp", 3128)),
    ],
)
def test_accepts(text, url):
    """A proxy needs scheme, host and port; case and a trailing slash do not matter."""
    assert parse_proxy_url(text) == url


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("proxy:3128", "write http://proxy:3128"),
        ("10.0.0.9:3128", "write http://10.0.0.9:3128"),
        ("", "no scheme; write http://HOST:PORT"),
        ("//proxy:3128", "no scheme; write http://HOST:PORT"),
        ("http:/proxy:3128", "no scheme; write http://HOST:PORT"),
        ("socks5://proxy:1080", "the scheme socks5; expected http or https"),
        ("ftp://proxy:21", "the scheme ftp"),
        ("[fd00::1]:3128", "write http://[fd00::1]:3128"),
        ("proxy.corp", "no scheme and no port; write both, as in http://proxy.corp:3128"),
        ("10.0.0.9", "no scheme and no port; write both, as in http://10.0.0.9:3128"),
        ("proxy..corp:3128", "no scheme; write http://HOST:PORT"),
        ("http://proxy", "no port; write it, as in http://proxy:3128, because"),
        ("https://proxy/", "no port; write it, as in https://proxy:3128, because"),
        ("http://[fd00::1]", "no port; write it, as in http://[fd00::1]:3128, because"),
        ("http://a:1,http://b:2", 'names several proxies; write one each: "http://a:1", "http://b:2"'),
        ("http://a:1 b:2", 'names several proxies; write one each: "http://a:1", "http://b:2"'),
        ("http://proxy:", 'the port ""; expected a number from 1 to 65535'),
        ("http://proxy:0", 'the port "0"; expected a number from 1 to 65535'),
        ("http://proxy:65536", 'the port "65536"'),
        ("http://proxy:99999", 'the port "99999"'),
        ("http://proxy:000080", 'the port "000080"'),
        ("http://proxy:-1", 'the port "-1"'),
        ("http://proxy:3128:3129", 'the port "3128:3129"'),
        ("http://proxy:port", "no number as its port; expected 1 to 65535, and a password only in the file of"),
        ("http://proxy:3128/path", "a path; write http://proxy:3128 and nothing after it"),
        ("http://proxy:3128?x=1", "nothing after it"),
        ("http://proxy:3128#x", "nothing after it"),
        ("http://:3128", "no valid host name"),
        ("http://-proxy:3128", "no valid host name"),
        ("http://proxy..corp:3128", "no valid host name"),
        ("http://proxy,other:3128", "no valid host name"),
        ("http://$HOST:3128", "no valid host name"),
        (f"http://{'a' * 64}:3128", "no valid host name"),
        (f"http://{'.'.join(['abcdefg'] * 32)}:3128", "no valid host name"),
        ("http://10.0.0.256:3128", "has an invalid IPv4 address"),
        ("http://10.0.0:3128", "has an invalid IPv4 address"),
        ("http://[proxy]:3128", "no IPv6 address in the brackets"),
        ("http://[10.0.0.9]:3128", "no IPv6 address in the brackets"),
        ("http://fd00::1:3128", "port"),
        ("http://proxy%0a:3128", 'contains "%"'),
        ("http://proxy:3128%0aexport", 'contains "%"'),
        ("http://[fe80::1%25eth0]:3128", 'contains "%"'),
        ("http://proxy:3128\n", r"the character '\n'"),
        ("http://proxy:3128\nhttp_proxy=x", r"the character '\n'"),
        ("http://proxy:3128\r", r"the character '\r'"),
        ("http://pro\0xy:3128", r"the character '\x00'"),
        (" http://proxy:3128", "the character ' '"),
        ("http://proxy :3128", "the character ' '"),
        ("http://pröxy:3128", r"the character '\xf6'"),
        ("http://proxy:\uff13128", r"the character '\uff13'"),
        ("http://user:hunter2@proxy:3128", "write USER:PASSWORD to the file of proxy.credentials_file"),
        ("http://user@proxy:3128", "write USER:PASSWORD to the file of proxy.credentials_file"),
        ("user:hunter2@proxy:3128", "write USER:PASSWORD to the file of proxy.credentials_file"),
    ],
)
def test_rejects(text, part):
    """A URL that clients read differently is rejected; the error names the value and the remedy."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_proxy_url(text)
    assert part in str(caught.value)
    assert str(caught.value).isascii()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "proxy:3128",
        "[fd00::1]:3128",
        "proxy.corp",
        "http://proxy",
        "https://[fd00::1]",
        "http://proxy:3128/path",
        "http://a:1, b:2",
        "a:1;b:2",
    ],
)
def test_each_proposed_url_is_accepted(text):
    """What the error proposes can be copied into the settings."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_proxy_url(text)
    proposed = re.findall(r'https?://[^ ",;]+', str(caught.value).rpartition("; ")[2])
    assert proposed
    assert all(str(parse_proxy_url(url)) == url for url in proposed)


@pytest.mark.parametrize("scheme", ["http://", "https://", "HTTP://", "htp://", "http:/", "http//", "http:", "//", ""])
def test_never_repeats_a_password_before_a_mistyped_at(scheme):
    """With another character in place of `@`, the error has no password."""
    signs = ("/", ";", ",", " ", "\t", "#", "?", ":", "%40", "&", "'", '"', "", "\u00e9", "/http://")
    passwords = ("Hunter2x", "2Hunter2x", "12/Hunter2x", "/Hunter2x", ":Hunter2x", "7;Hunter2x:", '"Hunter2x')
    hosts = ("proxy.corp:3128", "10.0.0.9:80", "[fd00::1]:3128", "proxy.corp:3128/")
    for password, sign, host in itertools.product(passwords, signs, hosts):
        with pytest.raises(ValueError, match=r"\w") as caught:
            parse_proxy_url(f"{scheme}corpuser:{password}{sign}{host}")
        assert "hunter2x" not in str(caught.value).lower(), sign


@pytest.mark.parametrize(
    "text", ["corpuser:Hunter2x@proxy", "http://corpuser:Hunter2x", "http://corpuser:Hunter2xproxy"]
)
def test_never_repeats_a_password_of_an_incomplete_url(text):
    """Without scheme, host or port neither."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_proxy_url(text)
    assert "Hunter2x" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["http://proxy:3128/path", "http://proxy:99999", "proxy.corp", "ftp://proxy:21", "a:1/?b"]
)
def test_an_error_shows_a_value_that_has_no_password(text):
    """A typo elsewhere is easier to find with the value."""
    assert quoted_proxy(text) == quoted(text)


@given(
    st.sampled_from(["", "http://", "https://", "//", "ftp://", "http:\n//"]),
    st.text(max_size=6),
    st.text(st.characters(min_codepoint=0x21), min_size=6, max_size=20),
    st.sampled_from(["@proxy:3128", "@", "@proxy:0/path%0a", "@proxy:99999", "@[::1", " @proxy"]),
)
def test_never_repeats_user_info(scheme, user, password, rest):
    """The error about a URL with user info repeats neither user nor password."""
    assume(password not in "http https ftp proxy.credentials_file USER:PASSWORD")
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_proxy_url(scheme + user + ":" + password + rest)
    assert password not in str(caught.value)
    assert quoted(password)[1:-1] not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_proxy_or_a_value_error(text):
    """The parser raises only ValueError, and an accepted URL survives a round trip."""
    with contextlib.suppress(ValueError):
        url = parse_proxy_url(text)
        assert parse_proxy_url(str(url)) == url


@given(
    st.sampled_from(["http", "https"]),
    st.one_of(st.from_regex(r"[a-z0-9]{1,10}(\.[a-z][a-z0-9]{0,9}){1,3}", fullmatch=True), st.ip_addresses().map(str)),
    st.integers(1, 65535),
)
def test_urllib_parses_the_url(scheme, host, port):
    """An independent parser gets scheme, host and port, also of IPv6 in brackets."""
    parsed = urlsplit(str(ProxyUrl(scheme, host, port)))
    assert (parsed.scheme, parsed.hostname, parsed.port, parsed.path) == (scheme, host, port, "")


@given(st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_credentials_are_percent_encoded(user, password):
    """The encoded characters have no special meaning in clients, shells and files."""
    text = URL.with_credentials(Credentials(user, password))
    info, _, host = text[len("http://") :].rpartition("@")
    assert host == "proxy.corp:3128"
    encoded_user, _, encoded_password = info.partition(":")
    assert set(info) <= set(string.ascii_letters + string.digits + "-._%:")
    assert (unquote(encoded_user), unquote(encoded_password)) == (user, password)


@given(
    st.sampled_from([URL, ProxyUrl("https", "fd00::1", 443)]),
    st.text(min_size=1, max_size=20),
    st.text(max_size=20),
)
def test_what_was_put_together_is_split(url, user, password):
    """The credentials in force are read back as they were."""
    credentials = Credentials(user, password)
    assert split_credentials(url.with_credentials(credentials)) == (url, credentials)
    assert split_credentials(str(url)) is None


@given(st.text(max_size=60))
def test_any_other_text_is_not_split(text):
    """A value that someone else wrote gives no credentials, unless it is exactly of our form."""
    parts = split_credentials(text)
    assert parts is None or parts[0].with_credentials(parts[1]) == text


def test_tilde_is_encoded():
    """`~` is encoded too: after a colon, a shell would expand it to a home directory."""
    assert URL.with_credentials(Credentials("~root", "a~b")) == "http://%7Eroot:a%7Eb@proxy.corp:3128"


def test_str_and_repr_have_no_credentials():
    """Text that is logged by accident has neither user nor password."""
    credentials = Credentials("alice", "hunter2")
    assert "hunter2" not in repr(credentials) + str(credentials) + str(URL)
    assert "alice" not in repr(credentials)


@pytest.mark.parametrize(
    ("text", "user", "password"),
    [
        ("alice:hunter2", "alice", "hunter2"),
        ("alice:hunter2\n", "alice", "hunter2"),
        ("alice:a:b@c d\n", "alice", "a:b@c d"),
        ("alice:", "alice", ""),
        ("älice:pässwörd", "älice", "pässwörd"),
    ],
)
def test_accepts_credentials(text, user, password):
    """The line USER:PASSWORD may lack its newline; the password may be any printable text."""
    assert parse_credentials(text) == Credentials(user, password)


@pytest.mark.parametrize(
    ("password", "expected"),
    [("p%40ss", True), ("%c3%a9", True), ("100%", False), ("p%40ss%", False), ("pass", False), ("%zz%40", False)],
)
def test_percent_encoded_credentials_are_recognized(password, expected):
    """Each % of encoded credentials has two hexadecimal digits."""
    assert is_percent_encoded(Credentials("alice", password)) is expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\ufeffalice:hunter2\n", "byte order mark; save it as UTF-8 without one"),
        ("http://alice:hunter2@proxy:3128\n", "is a URL; write only USER:PASSWORD"),
        ("https://alice:hunter2", "is a URL"),
        ('{"username": "alice", "password": "hunter2"}\n', "is JSON; write USER:PASSWORD"),
        ('{\n "username": "alice",\n "password": "hunter2"\n}\n', "is JSON; write USER:PASSWORD"),
        ("", "is empty"),
        ("\n", "is empty"),
        ("alice:hunter2\nbob:hunter3\n", "more than one line"),
        ("alice:hunter2\n\n", "more than one line"),
        ("alice:hunter2\r\n", "a control character"),
        ("alice:hun\tter2", "a control character"),
        ("alice:hun\0ter2", "a control character"),
        ("hunter2", "not have the form USER:PASSWORD"),
        (":hunter2", "not have the form USER:PASSWORD"),
    ],
)
def test_rejects_credentials(text, problem):
    """Any other file is rejected, and the error repeats nothing of it."""
    with pytest.raises(ValueError, match=problem) as caught:
        parse_credentials(text)
    assert "hunter" not in str(caught.value)
    assert "alice" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", '"plain"'),
        ("a\nb\x1b[31mü", r'"a\nb\x1b[31m\xfc"'),
        ("x" * 100, '"' + "x" * 80 + '..."'),
        ("https://alice:hunter2@host", '"***@host"'),
        ("alice:p/w@x@host:3128", '"***@host:3128"'),
        ("at alice:x@host and more", '"at ***@host and more"'),
        ("getty@tty1", '"getty@tty1"'),
    ],
)
def test_quoted_values_are_safe(text, shown):
    """A value in a message is one bounded line of ASCII without user info."""
    assert quoted(text) == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 63 + ("." + "b" * 63) * 2 + "." + "c" * 61, True),
        ("a" * 63 + ("." + "b" * 63) * 2 + "." + "c" * 62, False),
        ("a" * 63, True),
        ("a" * 64, False),
        ("1.2", False),
        ("1.b", True),
        ("", False),
        ("A", False),
        ("a.", False),
    ],
)
def test_a_host_name_has_at_most_253_characters(text, expected):
    """And its labels 63 (RFC 1035)."""
    assert is_host_name(text) is expected
