"""Masks of the support report: secrets of any program are masked, what explains a node stays."""

from __future__ import annotations

import base64
import json
import os
import shlex
import time
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.plan.drift import Memory
from agent.core.record import fields_dict
from agent.core.report.masks import Mask, credentials_in, traces
from agent.core.settings.schema import SECTIONS
from agent.core.status.document import StatusDocument

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
        f"docker login -u AWS -p {SECRET} registry",
        f"docker login -p={SECRET} registry",
        f"sshpass -p '{SECRET} {SECRET}' ssh host",
        f"mysql -h db -p{SECRET} -u root",
        f"mysqldump --single-transaction -p'{SECRET}' base",
        f"aws_secret_access_key = {SECRET}",
        f"token = {SECRET}",
        f"Secret\t=\t'{SECRET} {SECRET}'",
        f"X-Api-Key: {SECRET} x",
        f"< X-Vault-Token: {SECRET}",
        f"GET https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Signature={SECRET}&a=b HTTP/1.1",
        f"url=https://b/k?X-Amz-Algorithm=A&X-Amz-Security-Token={SECRET}",
        f"https://account.blob.core.windows.net/c?sv=1&sig={SECRET}",
        f"level=info url=http://a/?b=c,API_PIN={SECRET}",
        f"passphrase: {SECRET} correct horse {SECRET}",
        f"{'A' * 100}={SECRET}",
        f"https://hooks.slack.com/services/{SECRET}",
        f"https://chat.corp/api/webhooks/1/{SECRET}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n{SECRET}\n-----END RSA PRIVATE KEY-----",
        f'KEY="-----BEGIN PRIVATE KEY-----\n{SECRET}\n{SECRET}\n-----END PRIVATE KEY-----"',
        f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{SECRET}\n-----END PGP PRIVATE KEY BLOCK-----",
        "kubeadm join --discovery abcdef.0123456789abcdef",
        "joined with a1b2c2.c2lnc2lnc2lnc2ln, as usual",
        "eyJwYXlsb2FkIjoi" + "c2ln" * 600 + "In0=",
        "xoxb-" + "c2ln" * 600,
        "Authorization is bearer " + "c2ln" * 2000,
        "accessKey: " + "c2ln" * 2000,
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
    for secret in (SECRET, "a1B2", "ABCD", "c2ln", "b2C4", "0123456789abcdef"):
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
        'credentials_file = "/etc/proxy.pass"',
        "ssh -p 22 host; mkdir -p /var/lib/x",
        "login: failed for mysql on port 3306",
        "docker.containerdservice and kernel.x86 and abcdef.0123456789abcdef.example.com",
        "-----BEGIN CERTIFICATE-----",
        "a = b",
        "https://sts.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
        "passes: 3",
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


def test_a_password_that_is_not_utf_8_is_masked() -> None:
    """A file may hold any bytes; Python gives them as surrogates."""
    password = os.fsdecode(b"p\xffssw\xf6rd")
    assert {password, "p%FFssw%F6rd"} <= traces("svc:" + password)


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


def test_texts_below_a_key_of_a_secret_are_masked() -> None:
    """The key counts, not only the form of the text; numbers and other keys stay."""
    value = {
        "password": "plainword",
        "vault": {"secret_id": "x9", "api-key": "x9", "accessKey": ["x9", 1, ""]},
        "AuthData": {"deep": [{"x9.x9": "x9"}], "count": 2},
        "secretsmanager.eu-west-1.amazonaws.com": {"addresses": ["10.0.0.1"]},
        "/etc/proxy.pass": {"mode": "-rw-------"},
        "token-refresh.service": "active",
        "counters": {"passes": {"configured": 3}},
    }
    assert Mask().value(value) == {
        **value,
        "password": "***",
        "vault": {"secret_id": "***", "api-key": "***", "accessKey": ["***", 1, ""]},
        "AuthData": {"deep": [{"***": "***"}], "count": 2},
    }


@pytest.mark.parametrize("cls", [*SECTIONS.values(), StatusDocument, Memory])
def test_keys_of_the_agent_are_shown(cls: Any) -> None:
    """The values of its settings and of its state stay, except what may hold a password."""
    value = dict.fromkeys(fields_dict(cls), "shown")
    assert {key for key, item in Mask().value(value).items() if item != "shown"} <= {"credentials"}


#: The beginning of a match, or one that fails at its end.
PIECES = (
    *('a="', "token ", "token:", "-u ", "basic ", "A=", "a=a", "token = ", "eyJ", "eyJ-", "://", "pass", "AQA"),
    *("--a-token", 'key="\\', "x-key-", "login -", "login -p", "mysql ", "?a", "?sig", "&key", "abcdef.", "xoxb-"),
    *("passkey:", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "https://a/", "https://hooks.slack.com/"),
    *('token:"', "token:'"),
)


@pytest.mark.parametrize("piece", PIECES)
def test_a_long_line_takes_linear_time(piece: str) -> None:
    """A line that nearly matches, again and again, takes a fraction of a second."""
    start = time.process_time()
    Mask(["me:Tr0ub4dor&3"]).text(piece * (200_000 // len(piece)))
    assert time.process_time() - start < 4
