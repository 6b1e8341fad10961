"""Masks of the support report: secrets of any program are masked, what explains a node stays."""

from __future__ import annotations

import base64
import json
import shlex
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.report.masks import Mask, credentials_in, traces

SECRET = "Zq7-hunter2/x"


@pytest.mark.parametrize(
    "line",
    [
        f"MYSQL_PWD={SECRET}",
        f"+ export GITHUB_PAT='{SECRET} {SECRET}'",
        f'DB_URL="a \\"quoted\\" {SECRET}"',
        f'OPEN="never closed {SECRET}',
        f"env A={SECRET} B={SECRET} /bin/true",
        f"my_token={SECRET}",
        f"mysql_pwd={SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"> Proxy-Authorization: Basic {SECRET}",
        f"X-aws-ec2-metadata-token: {SECRET}",
        f"x-aws-ec2-metadata-token={SECRET}",
        f"kubelet --node-ip=10.0.0.1 --bootstrap-token={SECRET} --v=2",
        f"docker login --username AWS --password {SECRET}",
        f"helper --api-key '{SECRET} {SECRET}'",
        f"curl -u me:{SECRET} http://a/",
        f"curl --proxy-user me:{SECRET} http://a/",
        f'"client_secret": "{SECRET}",',
        f"clientSecret: {SECRET}",
        f"  token: {SECRET} ",
        f"password: {SECRET}",
        f"https://me:{SECRET}@registry.corp/v2/",
        f"config.toml: invalid TOML: Illegal character (at line 1, column 11); write command = [{SECRET}",
        f'bootstrap.arguments: expected an array, got the string "a {SECRET}" (allowed: a list of strings)',
        "ghp_" + "a1B2" * 9,
        "AKIA" + "ABCD" * 4,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        "token AQAEAFsL" + "b2C4" * 11 + "==",
    ],
)
def test_secrets_of_others_are_masked(line: str) -> None:
    """Variables, headers, flags, YAML, URLs, and tokens by their form."""
    masked = Mask().text(f"before\n{line}\nafter")
    assert "***" in masked
    for secret in (SECRET, "a1B2", "ABCD", "c2ln", "b2C4"):
        assert secret not in masked
    assert masked.startswith("before\n")
    assert masked.endswith("\nafter")


@pytest.mark.parametrize(
    "line",
    [
        "HTTPS_PROXY=http://proxy.corp:3128 NO_PROXY=localhost,10.0.0.0/8,.internal",
        "file.changed file=/etc/environment reason=edited unit=docker.service",
        "ActiveState=active",
        "MainPID=4711",
        "After=network-online.target docker.service",
        "EnvironmentFiles=/etc/eks-proxy-agent/node.env (ignore_errors=yes)",
        "http://169.254.169.254 responds within 64 ms (IMDSv2, no proxy in between)",
        "metadata service: token: HTTP 403",
        "proxy.credentials_command: not run by plan; the credentials in node.env are used",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "https://ABCDEF0123456789ABCDEF0123456789.gr7.eu-west-1.eks.amazonaws.com",
        "i-0a1b2c3d4e5f60718 in eu-west-1, 111122223333.dkr.ecr.eu-west-1.amazonaws.com",
        "PATH=/usr/bin:/bin",
    ],
)
def test_what_explains_a_node_stays(line: str) -> None:
    """Proxies, NO_PROXY, events, properties of units, host names and digests are shown."""
    assert Mask(["me:Tr0ub4dor&3"]).text(line) == line


@pytest.mark.parametrize("password", ["Tr0ub4dor&3", "Zq7Head4@:/%#$!&'\"` \\é vXkTail9", "#;!x"])
def test_a_known_password_is_masked_in_every_encoding(password: str) -> None:
    """In a URL, a header, a shell, JSON and Python, and where only a part of it is left."""
    pair = f"svc:{password}"
    mask = Mask([pair])
    for text in (
        password,
        pair,
        quote(password, safe=""),
        base64.b64encode(pair.encode()).decode(),
        json.dumps({"a": password}),
        json.dumps({"a": password}, ensure_ascii=False),
        password[: len(password) - 1] if len(password) > 8 else password,
    ):
        masked = mask.text(f"begin {text} end")
        assert "***" in masked, text
        assert not [trace for trace in traces(pair) if trace in masked], text
    for part in ("Zq7Head4", "vXkTail9"):
        assert part not in mask.text(shlex.quote(password))
        assert part not in mask.text(repr(password))


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=4, max_size=40).filter(
        lambda text: text.strip("*")
    ),
    st.sampled_from(["{0}", "x{1}y", '["{2}"]', "Basic {3}", "proxy=http://svc:{1}@h:1"]),
)
def test_no_trace_of_any_password_is_left(password: str, form: str) -> None:
    """Whatever the password, none of its traces remains, in text and in JSON."""
    pair = f"svc:{password}"
    header = base64.b64encode(pair.encode()).decode()
    text = form.format(password, quote(password, safe=""), json.dumps(password)[1:-1], header)
    mask, left = Mask([pair]), [trace for trace in traces(pair) if trace not in "***"]
    for masked in (mask.text(text), json.dumps(mask.value({text: [text]}), ensure_ascii=False)):
        assert not [trace for trace in left if trace in masked and trace not in "***@"]


def test_credentials_are_found_in_urls_and_yum_conf() -> None:
    """User info of URLs, with an @ in it too, and proxy_password."""
    text = "http_proxy=http://a:b@c@h:1\nproxy = https://u:p@h\n  Proxy_Password = x y \nno=//h@x"
    assert list(credentials_in(text)) == ["a:b@c", "u:p", ":x y"]


def test_values_of_json_are_masked_and_stay_json() -> None:
    """Texts in lists, objects and keys are masked; numbers, true and null stay."""
    value = {"a": ["GITHUB_PAT=x9x9x9", 1, None, True], "TOKEN=x9x9x9": {"b": "http://u:x9x9x9@h"}}
    masked = Mask().value(value)
    assert masked == {"a": ["GITHUB_PAT=***", 1, None, True], "TOKEN=***": {"b": "http://***@h"}}


@pytest.mark.parametrize(
    "piece", ['a="', "token ", "token:", "-u ", "basic ", "A=", "eyJ", "://", "pass", "AQA", "--a-token", 'key="\\']
)
def test_a_long_line_takes_linear_time(piece: str) -> None:
    """A line that nearly matches, again and again, takes a fraction of a second."""
    start = time.process_time()
    Mask(["me:Tr0ub4dor&3"]).text(piece * (200_000 // len(piece)))
    assert time.process_time() - start < 4
