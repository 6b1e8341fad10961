"""What a look at a proxy comes to, as text and way out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.net import proxy_health
from agent.core.net.proxy_health import ALIVE, DEAD, SERVES, Response, Verdict
from agent.core.net.proxy_url import parse_proxy_url

PROXY = parse_proxy_url("http://proxy.corp:3128")
TARGET = "sts.eu-central-1.amazonaws.com:443"


def answered(status, reason="", with_credentials=False, **headers):
    """The verdict on an answer; header names with _ for -."""
    found = {name.replace("_", "-"): value for name, value in headers.items()}
    return proxy_health.answered(PROXY, TARGET, Response(status, reason, found), with_credentials=with_credentials)


@pytest.mark.parametrize(
    ("status", "kind", "rank"),
    [
        (200, "ok", SERVES),
        (201, "ok", SERVES),
        (403, "denied", SERVES),
        (407, "credentials", SERVES),
        (429, "denied", SERVES),
        (500, "upstream", ALIVE),
        (502, "upstream", ALIVE),
        (503, "upstream", ALIVE),
        (504, "upstream", ALIVE),
        (301, "protocol", DEAD),
        (400, "protocol", DEAD),
        (404, "protocol", DEAD),
        (405, "protocol", DEAD),
        (501, "protocol", DEAD),
    ],
)
def test_a_status_has_its_kind_and_its_rank(status, kind, rank):
    """A tunnel and a refusal show a proxy that serves, a 5xx one that lives, what a web server says
    none at all.
    """
    found = answered(status)
    assert (found.kind, found.rank, found.ok) == (kind, rank, kind == "ok")
    assert bool(found.hint) != found.ok
    assert str(PROXY) in found.text


def test_what_squid_says_of_its_error_is_shown():
    """X-Squid-Error is the difference between a name that Squid cannot resolve and a host that it
    cannot reach.
    """
    found = answered(503, "Service Unavailable", x_squid_error="ERR_DNS_FAIL 0", server="squid/5.7")
    assert found.text == (
        "http://proxy.corp:3128: does not reach sts.eu-central-1.amazonaws.com:443: 503 Service Unavailable "
        '(X-Squid-Error: "ERR_DNS_FAIL 0", Server: "squid/5.7")'
    )


@pytest.mark.parametrize(
    ("header", "with_credentials", "says"),
    [
        ('Basic realm="a, b"', False, "proxy.credentials_file is not set"),
        ('Basic realm="proxy"', True, "refuses the user or the password"),
        ("", True, "refuses the user or the password"),
        ("Negotiate", True, "asks for a log-in by negotiate (407)"),
        ('Negotiate, NTLM, Digest realm="x", nonce="y"', False, "by negotiate or ntlm or digest (407)"),
        ('Negotiate, Basic realm="x"', False, "proxy.credentials_file is not set"),
    ],
)
def test_a_407_says_which_credentials_are_wanted(header, with_credentials, says):
    """Without a credentials file it is named, with one its content is doubted, and other log-ins
    than Basic are named.
    """
    found = answered(407, with_credentials=with_credentials, proxy_authenticate=header)
    assert says in found.text


def test_a_page_is_no_tunnel():
    """A 200 with content comes from a web server that takes any method."""
    assert answered(200, content_length="5").kind == "protocol"
    assert answered(200, content_type="text/html; charset=utf-8").kind == "protocol"
    assert answered(200, content_length="0").kind == "ok"


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x46", "speaks TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"\x05\xff", "SOCKS"),
        (b"\x00\x5b\x00\x00", "SOCKS"),
        (b"CONNECT sts", "sends back"),
        (b"", "without an answer"),
        (b"220 mail ESMTP\r\n", '"220 mail ESMTP"'),
        (b"\x00\xff\x1b[31m", r'"\x00\xff\x1b[31m"'),
    ],
)
def test_what_is_no_http_is_named_by_its_first_bytes(head, says):
    """TLS, SSH and SOCKS are recognised; anything else is shown, harmless to a terminal."""
    found = proxy_health.broken(PROXY, "answer", TARGET, "bad status line", head)
    assert (found.kind, found.rank) == ("protocol", DEAD)
    assert says in found.text
    assert found.text.isprintable()


@pytest.mark.parametrize("stage", sorted(proxy_health.STAGES))
def test_silence_says_what_was_waited_for(stage):
    """Each stage of a probe has its own text and hint; a name that nobody resolves is a matter of
    DNS.
    """
    found = proxy_health.timed_out(PROXY, stage, TARGET, 2.0)
    assert (found.ok, found.rank) == (False, DEAD)
    assert found.kind == ("dns" if stage == "resolve" else "timeout")
    assert "given up after 2.0 seconds" in found.text
    assert found.hint


@pytest.mark.parametrize(
    ("host", "issuer", "kind"),
    [
        ("sts.eu-central-1.amazonaws.com", "Amazon, Amazon RSA 2048 M01", "ok"),
        ("s3.eu-central-1.amazonaws.com", "DigiCert Inc, DigiCert Global CA G2", "ok"),
        ("sts.cn-north-1.amazonaws.com.cn", "Some CA", "ok"),
        ("sts.eu-central-1.amazonaws.com", "Corp, Corp Proxy CA", "tls-inspected"),
        ("ec2.eu-central-1.api.aws", "Corp Proxy CA", "tls-inspected"),
        ("quay.io", "Corp Proxy CA", "ok"),
        ("notamazonaws.com", "Corp Proxy CA", "ok"),
        ("sts.eu-central-1.amazonaws.com", "", "ok"),
    ],
)
def test_interception_is_told_by_the_issuer_of_an_aws_certificate(host, issuer, kind):
    """AWS's own endpoints have certificates of few CAs; of other hosts the issuer is only shown."""
    found = proxy_health.with_certificate(Verdict(True, "ok", "opens a tunnel"), host, issuer)
    assert (found.ok, found.kind, found.issuer) == (True, kind, issuer)
    assert issuer in found.text


@given(st.text(), st.text(), st.text(), st.integers(100, 599), st.binary())
def test_what_the_other_side_says_is_safe_to_print(reason, value, issuer, status, head):
    """No control character, no line break and no long text of the other side gets into a
    verdict.
    """
    headers = dict.fromkeys(["server", "x-squid-error", "proxy-authenticate", "content-type"], value)
    found = [
        proxy_health.answered(PROXY, TARGET, Response(status, reason, headers), with_credentials=True),
        proxy_health.broken(PROXY, "answer", TARGET, reason, head),
        proxy_health.broken(PROXY, "tls", TARGET, reason),
        proxy_health.broken(PROXY, "proxy-tls", TARGET, reason),
        proxy_health.untrusted(PROXY, "sts", reason, issuer),
        proxy_health.not_resolved(PROXY, reason),
        proxy_health.not_connected(PROXY, "refused", reason),
        proxy_health.with_certificate(Verdict(True, "ok", "opens a tunnel"), "sts.amazonaws.com", issuer),
    ]
    for one in found:
        assert (one.text + one.issuer).isprintable()
        assert len(one.text) < 1500
