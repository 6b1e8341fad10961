"""Golden file: texts and hints of all verdicts, and errors about proxy URLs and credentials.

After an intended change: ACCEPT=1 pytest tests/unit/core/net/test_texts_golden.py
"""

import json
import os
from pathlib import Path

from agent.core.net import proxy_health
from agent.core.net.proxy_health import Response
from agent.core.net.proxy_url import parse_credentials, parse_proxy_url

GOLDEN = Path(__file__).parent / "golden" / "texts.txt"
PROXY = parse_proxy_url("http://proxy.corp:3128")
HOST = "sts.eu-central-1.amazonaws.com"
TARGET = f"{HOST}:443"
RESPONSES = [
    (Response(200, "OK", {}), False),
    (Response(200, "OK", {"content-type": "text/html"}), False),
    (Response(403, "Forbidden", {"x-squid-error": "ERR_ACCESS_DENIED 0"}), False),
    (Response(407, "", {"proxy-authenticate": "Negotiate, NTLM"}), False),
    (Response(407, "", {"proxy-authenticate": 'Basic realm="x"'}), False),
    (Response(407, "", {"proxy-authenticate": 'Basic realm="x"'}), True),
    (Response(503, "Service Unavailable", {"server": "squid/5.7"}), False),
]
HEADS = [b"\x15\x03\x01", b"SSH-2.0-OpenSSH_9.2", b"\x05\xff", b"CONNECT sts", b"", b"220 mail ESMTP\r\n"]
URLS = [
    "proxy:3128",
    "socks5://proxy:1080",
    "http://proxy",
    "http://proxy:0",
    "http://proxy:3128/path",
    "http://-proxy:3128",
    "http://10.0.0.256:3128",
    "http://[proxy]:3128",
    "http://proxy%0a:3128",
    "http://proxy :3128",
    "http://user:hunter2@proxy:3128",
]
CREDENTIALS = ["", "a:b\nc:d\n", "a:\tb", "hunter2"]


def verdicts():
    """Yield one verdict of each kind."""
    yield proxy_health.not_resolved(PROXY, "Name or service not known")
    yield proxy_health.not_connected(PROXY, "refused", "Connection refused")
    yield proxy_health.not_connected(PROXY, "unreachable", "No route to host")
    for stage in proxy_health.STAGES:
        yield proxy_health.timed_out(PROXY, stage, TARGET, 3.0)
    yield proxy_health.broken(PROXY, "proxy-tls", TARGET, "wrong version number")
    yield proxy_health.broken(PROXY, "tls", TARGET, "wrong version number")
    yield proxy_health.broken(PROXY, "tls", TARGET, "Connection reset by peer")
    for head in HEADS:
        yield proxy_health.broken(PROXY, "answer", TARGET, "bad status line", head)
    yield proxy_health.untrusted(PROXY, HOST, "self-signed certificate in certificate chain", "Corp Proxy CA")
    for response, with_credentials in RESPONSES:
        yield proxy_health.answered(PROXY, TARGET, response, with_credentials=with_credentials)
    ok = proxy_health.answered(PROXY, TARGET, RESPONSES[0][0], with_credentials=False)
    for issuer in ("Amazon RSA 2048 M01", "Corp Proxy CA"):
        yield proxy_health.with_certificate(ok, HOST, issuer)


def errors(name, parse, texts):
    """Yield the errors about texts, each after the name of its setting."""
    for text in texts:
        try:
            parse(text)
        except ValueError as error:
            yield f"{json.dumps(text)}: {name} {error}"


def test_texts_equal_the_golden_file():
    """ACCEPT=1 writes the file again; review it before the commit."""
    lines = [f"{verdict.kind}: {verdict.text}\n  > {verdict.hint or 'nothing to do'}" for verdict in verdicts()]
    lines += errors("proxy.url", parse_proxy_url, URLS)
    lines += errors("/etc/proxy.pass", parse_credentials, CREDENTIALS)
    text = "".join(line + "\n" for line in lines)
    if os.environ.get("ACCEPT") == "1":
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
