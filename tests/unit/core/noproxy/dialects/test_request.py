"""Targets: URLs, hosts and addresses; an error never repeats user info."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.core.noproxy.dialects.request import LIMIT, Request, parse_request

GOOD = [
    ("https://u:a,b@example.com/x?y=1,2", "https", "example.com", 443, "https://example.com", False),
    # text, scheme, host, port, spelled, has_port
    ("example.com", "https", "example.com", 443, "example.com", False),
    ("EXAMPLE.Com", "https", "example.com", 443, "example.com", False),
    (" example.com\n", "https", "example.com", 443, "example.com", False),
    ("example.com:80", "http", "example.com", 80, "example.com:80", True),
    ("example.com:443", "https", "example.com", 443, "example.com:443", True),
    ("example.com:8443", "https", "example.com", 8443, "example.com:8443", True),
    ("example.com:", "https", "example.com", 443, "example.com", False),
    ("example.com.", "https", "example.com.", 443, "example.com.", False),
    ("example.com/path", "https", "example.com", 443, "example.com", False),
    ("//example.com/path", "https", "example.com", 443, "example.com", False),
    ("http://example.com", "http", "example.com", 80, "http://example.com", False),
    ("HTTPS://example.com:8443/a?b#c", "https", "example.com", 8443, "https://example.com:8443", True),
    ("http://example.com?x=http://y", "http", "example.com", 80, "http://example.com", False),
    ("http://user:secret@example.com:81/", "http", "example.com", 81, "http://example.com:81", True),
    ("http://user:s@cr@t@example.com", "http", "example.com", 80, "http://example.com", False),
    ("user:secret@example.com", "https", "example.com", 443, "example.com", False),
    ("10.0.3.4", "https", "10.0.3.4", 443, "10.0.3.4", False),
    ("10.0.3.4:80", "http", "10.0.3.4", 80, "10.0.3.4:80", True),
    ("fd00:ec2::254", "https", "fd00:ec2::254", 443, "[fd00:ec2::254]", False),
    ("[FD00:EC2::254]", "https", "fd00:ec2::254", 443, "[fd00:ec2::254]", False),
    ("[fd00:ec2::254]:80", "http", "fd00:ec2::254", 80, "[fd00:ec2::254]:80", True),
    ("http://[fd00:ec2:0::254]/latest", "http", "fd00:ec2:0::254", 80, "http://[fd00:ec2:0::254]", False),
    ("[::ffff:10.0.3.4]", "https", "::ffff:10.0.3.4", 443, "[::ffff:10.0.3.4]", False),
    ("bücher.example", "https", "xn--bcher-kva.example", 443, "xn--bcher-kva.example", False),
    ("http://BÜCHER.example:8080", "http", "xn--bcher-kva.example", 8080, "http://xn--bcher-kva.example:8080", True),
    ("例え。テスト", "https", "xn--r8jz45g.xn--zckzah", 443, "xn--r8jz45g.xn--zckzah", False),
    ("my_host.svc", "https", "my_host.svc", 443, "my_host.svc", False),
    ("localhost", "https", "localhost", 443, "localhost", False),
]

BAD = [
    ("", "no valid host"),
    ("http://", "no valid host"),
    ("http:///path", "no valid host"),
    ("ftp://example.com", "the scheme ftp; expected http or https"),
    ("file:///etc/passwd", "the scheme file; expected http or https"),
    ("http:/example.com", "not a URL"),
    ("https:example.com", "not a URL"),
    ("10.0.0.0/16", "is a network"),
    ("fd00::/8", "is a network"),
    ("a b", "no valid host"),
    ("localhost,127.0.0.1,::1,[::1],10.0.0.0/8", "is a list; write --no-proxy LIST"),
    ("https://a.example.com,b.example.com", "is a list"),
    ("http://exa mple.com/", "no valid host"),
    ("example.com\\@evil", "not a URL"),
    ("-example.com", "no valid host"),
    ("example..com", "no valid host"),
    ("ex%61mple.com", "no valid host"),
    ("*.example.com", "no valid host"),
    ("x" * 254, "no valid host"),
    ("example.com:http", "no valid port"),
    ("example.com:0", "no valid port"),
    ("example.com:65536", "no valid port"),
    ("example.com:٣", "no valid port"),
    ("127.1", "ends in a number"),
    ("010.0.0.1", "ends in a number"),
    ("256.1.1.1", "ends in a number"),
    ("10.0.0.1.", "ends in a number"),
    ("2130706433", "ends in a number"),
    ("0x7f.0x1", "ends in a number"),
    ("[::1", "no IPv6 address in the brackets"),
    ("[]", "no IPv6 address in the brackets"),
    ("[10.0.0.1]", "no IPv6 address in the brackets"),
    ("[::1]x", "no IPv6 address in the brackets"),
    ("[fe80::1%25eth0]", "no valid IPv6 address"),
    ("fe80::1%eth0", "no valid IPv6 address"),
    ("1:2:3:4:5:6:7:8:9", "no valid IPv6 address"),
    ("::ffff:010.0.0.1", "no valid IPv6 address"),
    ("a:b:c", "no valid IPv6 address"),
    ("straße.example", "write it as xn--"),
    ("\ud800.example", "write it as xn--"),
    ("x" * (LIMIT + 1), "target has 8193 characters"),
]


@pytest.mark.parametrize(("text", "scheme", "host", "port", "spelled", "has_port"), GOOD)
def test_target_is_parsed(text, scheme, host, port, spelled, has_port):
    """The result has scheme, host and port, and a spelling that is safe to print."""
    assert parse_request(text) == Request(scheme, host, port, spelled, has_port)


@pytest.mark.parametrize(("text", "reason"), BAD)
def test_bad_target_is_rejected(text, reason):
    """The error names the problem and the allowed form."""
    with pytest.raises(ValueError, match=reason.replace("(", r"\(")):
        parse_request(text)


def test_spelling_is_the_same_target():
    """The printed spelling parses to the same target."""
    for text, *_ in GOOD:
        target = parse_request(text)
        assert parse_request(target.spelled) == target


PASSWORD = st.text("abcXYZ0189:/?#@[]%\\ .", min_size=1).map(lambda text: "Sec" + text + "ret")


@pytest.mark.parametrize("form", ["http://user:%s@%s/", "%s@%s", "http://%s@%s:99999/", "ftp://u:%s@%s", "u:%s@%s x"])
@given(password=PASSWORD)
@example(password="Sec/ret")
@example(password="Sec@ret")
def test_user_info_is_never_repeated(form, password):
    """Neither a target nor an error has the text before the last @, whatever the password is.

    The exception is a password that ends the authority: every client takes its beginning as the
    host.
    """
    try:
        shown = parse_request(form % (password, "example.com")).spelled
    except ValueError as error:
        shown = str(error)
    assert "ret" not in shown


@given(st.one_of(st.text(), st.text(":/?#@[]%.*0123456789abcdefx\u00df\u3002", max_size=40)))
@example("http://[")
@example("xn--a.example")
@example("\u3002")
@example("a" * 64)
def test_any_text_is_a_target_or_rejected(text):
    """The only error is ValueError, with one bounded line of ASCII."""
    complaint = ""
    try:
        target = parse_request(text)
    except ValueError as error:
        complaint = str(error)
    if complaint:
        assert complaint.isascii()
        assert complaint.isprintable()
        assert len(complaint) < 1000
    else:
        assert target.host == target.host.lower() != ""
        assert parse_request(target.spelled).host == target.host
