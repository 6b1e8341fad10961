"""Verdicts on health checks of a proxy: kind, rank, text and hint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.net import proxy_health
from agent.core.net.proxy_health import ALIVE, DEAD, SERVES, Response, Verdict
from agent.core.net.proxy_url import parse_proxy_url

PROXY = parse_proxy_url("http://proxy.corp:3128")
TARGET = "sts.eu-central-1.amazonaws.com:443"


def answered(status, reason="", with_credentials=False, **headers):
    """Return the verdict on a response; header names have _ for -."""
    renamed = {name.replace("_", "-"): value for name, value in headers.items()}
    return proxy_health.answered(PROXY, TARGET, Response(status, reason, renamed), with_credentials=with_credentials)


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
def test_status_decides_kind_and_rank(status, kind, rank):
    """A tunnel or a refusal comes from a proxy that serves, a 5xx from one that is up.

    Any other status comes from a web server.
    """
    verdict = answered(status)
    assert (verdict.kind, verdict.rank, verdict.ok) == (kind, rank, kind == "ok")
    assert bool(verdict.hint) != verdict.ok
    assert str(PROXY) in verdict.text


def test_text_has_the_error_of_squid():
    """X-Squid-Error tells a name that Squid cannot resolve from a host that it cannot reach."""
    verdict = answered(503, "Service Unavailable", x_squid_error="ERR_DNS_FAIL 0", server="squid/5.7")
    assert verdict.text == (
        "http://proxy.corp:3128: cannot reach sts.eu-central-1.amazonaws.com:443: 503 Service Unavailable "
        '(X-Squid-Error: "ERR_DNS_FAIL 0", Server: "squid/5.7")'
    )


@pytest.mark.parametrize(
    ("header", "with_credentials", "part"),
    [
        ('Basic realm="a, b"', False, "no credentials are set"),
        ('Basic realm="proxy"', True, "rejects the user or password"),
        ("", True, "rejects the user or password"),
        ("Negotiate", True, "requires authentication by negotiate (407)"),
        ('Negotiate, NTLM, Digest realm="x", nonce="y"', False, "by negotiate or ntlm or digest (407)"),
        ('Negotiate, Basic realm="x"', False, "no credentials are set"),
    ],
)
def test_407_names_the_required_credentials(header, with_credentials, part):
    """The text names the missing setting, the wrong credentials, or schemes other than Basic."""
    verdict = answered(407, with_credentials=with_credentials, proxy_authenticate=header)
    assert part in verdict.text


def test_response_with_content_is_not_a_tunnel():
    """A 200 with content comes from a web server that takes any method."""
    assert answered(200, content_length="5").kind == "protocol"
    assert answered(200, content_type="text/html; charset=utf-8").kind == "protocol"
    assert answered(200, content_length="0").kind == "ok"


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x46", "speaks TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"\x05\xff", "SOCKS"),
        (b"\x00\x5b\x00\x00", "SOCKS"),
        (b"CONNECT sts", "echoes the request"),
        (b"", "without a response"),
        (b"220 mail ESMTP\r\n", '"220 mail ESMTP"'),
        (b"\x00\xff\x1b[31m", r'"\x00\xff\x1b[31m"'),
    ],
)
def test_first_bytes_identify_other_protocols(head, part):
    """TLS, SSH and SOCKS are recognized; anything else is quoted, safe for a terminal."""
    verdict = proxy_health.broken(PROXY, "answer", TARGET, "bad status line", head)
    assert (verdict.kind, verdict.rank) == ("protocol", DEAD)
    assert part in verdict.text
    assert verdict.text.isprintable()


@pytest.mark.parametrize("stage", sorted(proxy_health.STAGES))
def test_timeout_names_the_stage(stage):
    """Each stage of a health check has its own text and hint; name resolution has the kind dns."""
    verdict = proxy_health.timed_out(PROXY, stage, TARGET, 2.0)
    assert (verdict.ok, verdict.rank) == (False, DEAD)
    assert verdict.kind == ("dns" if stage == "resolve" else "timeout")
    assert verdict.text == f"{PROXY}: {proxy_health.STAGES[stage]} timed out after 2.0 s"
    assert verdict.hint


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
def test_issuer_of_an_aws_certificate_reveals_interception(host, issuer, kind):
    """AWS's endpoints have certificates of few CAs; for other hosts the issuer is only shown."""
    verdict = proxy_health.with_certificate(Verdict(True, "ok", "opens a tunnel"), host, issuer)
    assert (verdict.ok, verdict.kind, verdict.issuer) == (True, kind, issuer)
    assert issuer in verdict.text


@given(st.text(), st.text(), st.text(), st.integers(100, 599), st.binary())
def test_text_of_the_other_side_is_safe_to_print(reason, value, issuer, status, head):
    """A verdict never has control characters, line breaks or long text of the other side."""
    headers = dict.fromkeys(["server", "x-squid-error", "proxy-authenticate", "content-type"], value)
    verdicts = [
        proxy_health.answered(PROXY, TARGET, Response(status, reason, headers), with_credentials=True),
        proxy_health.broken(PROXY, "answer", TARGET, reason, head),
        proxy_health.broken(PROXY, "tls", TARGET, reason),
        proxy_health.broken(PROXY, "proxy-tls", TARGET, reason),
        proxy_health.untrusted(PROXY, "sts", reason, issuer),
        proxy_health.not_resolved(PROXY, reason),
        proxy_health.not_connected(PROXY, "refused", reason),
        proxy_health.with_certificate(Verdict(True, "ok", "opens a tunnel"), "sts.amazonaws.com", issuer),
    ]
    for verdict in verdicts:
        assert (verdict.text + verdict.issuer).isprintable()
        assert len(verdict.text) < 1500
