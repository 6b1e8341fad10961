"""Masks of the texts of a support report: what may be a secret of any program becomes ***.  Pure.

`redact` masks what the agent prints about proxies.  A report also has texts of others, such as the
output of bootstrap.sh, and it leaves the node.  So it masks more, and in doubt too much.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from re import Match
from typing import Any
from urllib.parse import quote, unquote

from agent.core.redact import redact

MASKED = "***"
#: Variables of the environment whose values are shown; those of proxies are redacted.
PROXY_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "FTP_PROXY")
_PUBLIC_NAMES = (*PROXY_NAMES, "PATH", "LANG", "HOME", "AWS_REGION", "AWS_DEFAULT_REGION", "SSL_CERT_FILE")
#: Names of the agent that look as if they had a secret.  As a key of JSON, also `key` of
#: `config show --json`, and the command, of which documents.py leaves only the program and flags.
_OWN_NAMES = ("credentials_file", "credentials_in_yum", "credentials_interval", "credentials_due", "next_pass")
_OWN_KEYS = (*_OWN_NAMES, "credentials_source", "credentials_command", "key")
#: A part of a name whose value is a secret.
_SECRET_NAME = re.compile(
    r"pass|pwd|secret|token|cred|auth|private|api_?key|access_?key|signature|(?:^|_)(?:key|pat|pin|sig)(?:$|_)", re.I
)
#: A key of JSON that is a name, and not a path, a host or a unit.
_KEY = re.compile(r"[A-Za-z_][\w-]{0,255}")
_QUOTED = r'"(?:[^"\\\n]|\\.){0,4096}"|' + r"'[^'\n]{0,4096}'|[\"'][^\n]*"
_NAME = re.compile(r"(?<![A-Za-z0-9_])(?P<name>[A-Za-z_][A-Za-z0-9_]{0,255})(?P<sign>[ \t]{0,8}=[ \t]{0,8})")
_VALUE = re.compile(rf"{_QUOTED}|\S+")
#: A private key in PEM or OpenPGP armor, also one whose end is missing.
_ARMOR = re.compile(
    r"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)"
    r"(?:[\s\S]{0,16384}?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|[\s\S]{0,16384})"
)
#: A text before a secret, and the secret.  What follows an unbounded repetition may match anything:
#: so a text is searched in linear time, and no end of a long secret is left.
_OTHERS = (
    # A header of HTTP.
    re.compile(
        r"(?i)(\b(?:proxy-authorization|authorization|cookie|x-[a-z0-9-]{0,40}(?:key|token|secret|auth|signature)[a-z-]{0,16})"
        r"\b[\"']?[ \t]*[:=])[^\n]+"
    ),
    re.compile(r"(?i)(\b(?:basic|bearer) {1,4})[A-Za-z0-9+/=._~-]{8,}"),
    # A parameter of a URL.
    re.compile(r"(?i)([?&;][\w.-]{0,40}(?:sig|signature|token|secret|key|auth|credential)[\w.-]{0,16}=)[^&;\s\"'<>]+"),
    re.compile(r"(?i)(//hooks\.slack(?:-gov)?\.com/|/webhooks?/)[^\s\"'<>]+"),
    # A flag of a command line.
    re.compile(
        r"(?i)((?<![a-z0-9-])--?[a-z0-9-]{0,32}(?:token|pass|secret|key|credential|auth)[a-z0-9-]{0,32}(?:=| {1,4}))"
        rf"(?:{_QUOTED}|[^\s-]\S*)"
    ),
    re.compile(r"((?:^|[ \t])(?:-u|-U|--user|--proxy-user)(?:=|[ \t]{1,4}))\S+", re.MULTILINE),
    # -p is a password for these programs, and a port or a path for most others.
    re.compile(rf"((?<![\w-])(?:login|sshpass)[ \t](?:[^\n]{{0,200}}[ \t])?-p(?:=|[ \t]{{0,4}}))(?:{_QUOTED}|\S+)"),
    re.compile(rf"((?<![\w-])(?:mysql|mariadb)[\w-]{{0,16}}[ \t](?:[^\n]{{0,200}}[ \t])?-p)(?:{_QUOTED}|\S+)"),
    # A phrase may have blanks.
    re.compile(r"(?i)(pass(?:phrase|code|key)[\"']?[ \t]{0,8}[=:][ \t]{0,8})[^\s][^\n]*"),
    # A value of a settings file in an error about it.
    re.compile(r"(invalid TOML: [^\n]{0,400}; write [^\n=]{0,80}=)[^\n]+"),
    re.compile(r"(\b(?:credentials_command|arguments): [^\n]{0,200}got the string )[^\n]+"),
    # Tokens by their form: GitHub, GitLab, Slack, AWS, JSON in base64 (JWT, ECR), metadata service,
    # kubeadm.
    re.compile(
        r"()(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{10,}|xox[a-z]-[\w-]{10,}"
        r"|(?:AKIA|ASIA)[A-Z0-9]{16}|eyJ[\w+/=.-]{16,}|AQA[A-Za-z0-9_=+/-]{40,})"
    ),
    re.compile(r"()(?<![\w.-])(?=[a-z.]{0,22}[0-9])[a-z0-9]{6}\.[a-z0-9]{16}(?![\w-]|\.\w)"),
)
#: A key and a value of YAML or JSON.
_YAML = re.compile(
    r"(?i)(?P<key>(?:secret|token|pwd|api[_-]?key|access[_-]?key|private[_-]?key)[\w-]{0,32}[\"']?[ \t]{0,8}:[ \t]{0,8})"
    r"(?:\"[^\"\n]+\"|'[^'\n]+'|[^\s\"',]{6,})"
)
#: User info of a URL; it may hold an @ too.
_USER_INFO = re.compile(r"://([^\s\"']{1,4096})@")
_YUM_PASSWORD = re.compile(r"(?mi)^[ \t]*proxy_password[ \t]*=[ \t]*(\S[^\n]*)")
#: Shorter parts of a password would be found by chance.
_PART = re.compile(r"[A-Za-z0-9]{6,}")
_SHORTEST = 4


def credentials_in(text: str) -> Iterator[str]:
    """Yield each USER:PASSWORD in URLs, and each password of yum.conf as `:PASSWORD`."""
    yield from _USER_INFO.findall(text)
    for password in _YUM_PASSWORD.findall(text):
        yield ":" + password.strip()


def traces(credentials: str) -> frozenset[str]:
    """Return the texts that give a password away, from USER:PASSWORD, percent-encoded or not.

    These are the password in the encodings of URLs, JSON and HTTP headers, and its parts: a text
    may have been cut, or be in another encoding.
    """
    texts: set[str] = set()
    for pair in (credentials, unquote(credentials)):
        _, _, password = pair.partition(":")
        header = base64.b64encode(pair.encode("utf-8", "surrogateescape")).decode("ascii").rstrip("=")
        forms = (password, quote(password, safe="", errors="surrogateescape"), json.dumps(password)[1:-1])
        texts |= {form for form in forms if len(form) >= _SHORTEST} | {header if password else ""}
        texts.update(_PART.findall(password))
        texts |= {pair} if password else set()
    return frozenset(texts - {""})


class Mask:
    """The masks of one report.

    `credentials`: USER:PASSWORD of every proxy that is known, in any place.
    """

    def __init__(self, credentials: Iterable[str] = ()) -> None:
        secrets = sorted({text for pair in credentials for text in traces(pair)}, key=lambda text: (-len(text), text))
        self._known = re.compile("|".join(map(re.escape, secrets))) if secrets else None

    def known(self, text: str) -> str:
        """Return the text without credentials of proxies: for texts of the agent alone."""
        return redact(self._known.sub(MASKED, text) if self._known else text)

    def text(self, text: str) -> str:
        """Return the text without what may be a secret."""
        text = self.known(_ARMOR.sub(rf"\g<1>{MASKED}", text))
        text = _without_values(text)
        for pattern in _OTHERS:
            text = pattern.sub(rf"\g<1>{MASKED}", text)
        return _YAML.sub(_masked_line, text)

    def value(self, value: Any) -> Any:
        """Return a value of JSON with the texts in it masked, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self._item(key, item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        return value

    def _item(self, key: str, value: Any) -> Any:
        """Return the value of a key; below one that names a secret no text is left."""
        is_secret = _KEY.fullmatch(key) and key not in _OWN_KEYS and _SECRET_NAME.search(key.replace("-", "_"))
        return _without_texts(value) if is_secret else self.value(value)


def is_proxy_name(name: str) -> bool:
    """Return True for a variable that names a proxy, or what is exempt from it."""
    return name.upper() in PROXY_NAMES


def is_public_name(name: str) -> bool:
    """Return True if the value of NAME=VALUE may be shown.

    A name in capitals is a variable of some program, and those of others are not shown.
    """
    if name.upper() in _PUBLIC_NAMES:
        return True
    return name in _OWN_NAMES or (name != name.upper() and not _SECRET_NAME.search(name))


def _without_values(text: str) -> str:
    """Mask the values of NAME=VALUE, and those of `NAME = VALUE` if the name is that of a secret.

    A value that is shown is searched too: it may be a URL or a list with such names in it.
    """
    parts: list[str] = []
    shown = start = 0
    while True:
        match = _NAME.search(text, start)
        if match is None:
            return "".join(parts) + text[shown:]
        start = match.end()
        is_shown = is_public_name(match["name"]) or (match["sign"] != "=" and not _SECRET_NAME.search(match["name"]))
        value = None if is_shown else _VALUE.match(text, start)
        if value:
            parts += [text[shown:start], MASKED]
            shown = start = value.end()


def _without_texts(value: Any) -> Any:
    """Return a value of JSON with every text in it masked, and the names of its keys."""
    if isinstance(value, dict):
        return {key if _KEY.fullmatch(key) else MASKED: _without_texts(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_texts(item) for item in value]
    return MASKED if isinstance(value, str) and value else value


def _masked_line(match: Match[str]) -> str:
    """Mask a value that ends its line, or an item of it; `token: HTTP 403` is a message."""
    rest = match.string[match.end() : match.end() + 16].partition("\n")[0].strip()
    return match["key"] + MASKED if rest[:1] in ("", ",", "}", "#") else match[0]
