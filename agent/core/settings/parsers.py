"""Readers of single settings: each takes a TOML value and returns ours.

A reader raises ValueError that says what is wrong with the value.  Types are strict: a string is
not a number, and a single string is not a list.  A guess would surprise the operator.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Callable, TypeVar

from agent.core.net.aws_endpoints import SERVICES
from agent.core.net.proxy_url import ProxyUrl, is_host_name, parse_proxy_url, quoted, several_urls
from agent.core.noproxy.entries import OperatorEntry, canonical_cidr, parse_operator_entry, proposals
from agent.errors import shortlist

T = TypeVar("T")

#: Elements of a proposed array.
_SHOWN = 20
_TOML_TYPES = {bool: "boolean", str: "string", int: "integer", float: "number", list: "array", dict: "table"}


def typed(value: Any, expected: type) -> Any:
    """Return `value` if it is of the type; raises ValueError that names both types."""
    if type(value) is not expected:
        raise ValueError(f"expected {_with_article(_TOML_TYPES[expected])}, got {_described(value)}")
    return value


def _described(value: Any) -> str:
    """Name type and value; an array or a table would be too long, and may hold a secret."""
    kind = _TOML_TYPES.get(type(value), "date")
    if isinstance(value, str):
        return f"the {kind} {quoted(value)}"
    return f"the {kind} {_short(value)}" if isinstance(value, (bool, int, float)) else _with_article(kind)


def _with_article(kind: str) -> str:
    return ("an " if kind[0] in "ai" else "a ") + kind


def _short(value: float) -> str:
    """Return a number or a boolean as TOML writes it, at most 40 characters of it."""
    return f"{str(value).lower():.40}"


def boolean(value: Any) -> bool:
    return bool(typed(value, bool))


def argument(value: Any) -> str:
    """Read a string that fits into an argument vector, an environment or a line of a file."""
    text = str(typed(value, str))
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in text):
        raise ValueError(f"{quoted(text)} contains a control character")
    return text


def path(value: Any) -> str:
    text = argument(value)
    if not text.startswith("/"):
        raise ValueError(f"{quoted(text)} is not an absolute path")
    if "/../" in text + "/":
        raise ValueError(f'{quoted(text)} contains ".."; write the path without it')
    return text


def credentials_path(value: Any) -> str:
    """Read the path of the credentials file.

    An operator may put USER:PASSWORD here by mistake: the error must not repeat it.
    """
    if isinstance(value, str) and ":" in value and not value.startswith("/"):
        raise ValueError("not an absolute path; put USER:PASSWORD into a file, and name that file here")
    return optional_path(value)


def credentials_command(value: Any) -> tuple[str, ...]:
    """Read a program and its arguments; no error repeats them: they may be USER:PASSWORD."""
    if type(value) is not list or not all(type(word) is str for word in value):
        raise ValueError('expected an array of strings: the program and its arguments, as in ["/usr/bin/aws", "..."]')
    if not all(map(str.isprintable, value)):
        raise ValueError("contains a control character")
    if value and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*|/.*", value[0]):
        raise ValueError("the first string is not a program; write its absolute path, or a name that is found on PATH")
    return tuple(value)


def systemd_credential(value: Any) -> str:
    """Read `systemd:NAME`; NAME as systemd allows it for LoadCredential= (systemd.exec(5)).

    No error repeats the value, which may be USER:PASSWORD.
    """
    text = str(typed(value, str))
    if text and not re.fullmatch(r"systemd:[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}", text):
        raise ValueError("not the name of a systemd credential; USER:PASSWORD itself does not belong here")
    return text


def ca_bundle(value: Any) -> str:
    """Read a path, or PEM text; its certificates are checked where the bundle is read."""
    text = str(typed(value, str)).strip()
    if "PRIVATE KEY" in text:
        raise ValueError("contains a private key; keep only the CA certificates")
    return text if "-----BEGIN " in text or not text else path(text)


def optional_path(value: Any) -> str:
    return path(value) if value != "" else ""


def seconds(value: Any) -> float:
    """Read seconds above 0 and up to 3600."""
    number = value if type(value) is int else typed(value, float)
    if not 0 < number <= 3600:
        raise ValueError(f"{_short(value)} is out of range")
    return float(number)


def interval(value: Any) -> float:
    """Read the seconds between repeated actions of the daemon, from 10 up to 86400.

    Below 10 the daemon would put load on the node.
    """
    number = value if type(value) is int else typed(value, float)
    if not 10 <= number <= 86400:
        raise ValueError(f"{_short(value)} is out of range")
    return float(number)


def seconds_or_auto(value: Any) -> float | None:
    return None if value == "auto" else seconds(value)


def one_of(*allowed: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        text = str(typed(value, str))
        if text not in allowed:
            raise ValueError(f"unknown value {quoted(text)}")
        return text

    return parse


def list_of(parse: Callable[[Any], T], *, repeated: bool = False) -> Callable[[Any], tuple[T, ...]]:
    """Return a reader of a list, which names all wrong values.

    Keeps the first of equal values, or all of them if `repeated`.
    """

    def parse_list(value: Any) -> tuple[T, ...]:
        values: list[T] = []
        problems: list[str] = []
        for item in typed(value, list):
            try:
                values.append(parse(item))
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("; ".join(shortlist(problems)))
        return tuple(values if repeated else dict.fromkeys(values))

    return parse_list


def auto_or(parse: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """Return a reader that also accepts "auto", as None."""
    return lambda value: None if value == "auto" else parse(value)


def never_or(parse: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """Return a reader that also accepts "never", as None."""
    return lambda value: None if value == "never" else parse(value)


def aws_service(value: Any) -> str:
    """Read a service of SERVICES, or a single host such as eks.eu-central-1.amazonaws.com."""
    text = str(typed(value, str))
    host = text if text in SERVICES else text.lower().rstrip(".")
    if text in SERVICES or ("." in host and is_host_name(host)):
        return host
    raise ValueError(f"unknown value {quoted(text)}")


def program(value: Any) -> str:
    """Read an absolute path, or a bare name that is looked up on PATH."""
    text = argument(value)
    return text if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text) else path(text)


def host_and_port(value: Any) -> str:
    """Read `HOST` or `HOST:PORT` as `HOST:PORT` in lower case; the default port is 443."""
    text = str(typed(value, str))
    with_port = text if re.search(r"[^:]:[0-9]+$|\]:[0-9]+$", text) else text + ":443"
    url = _url("https", "https://" + with_port)
    if url is None:
        raise ValueError(f"expected HOST or HOST:PORT, got {quoted(text)}")
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{host}:{url.port}"


def proxy_urls(value: Any) -> tuple[ProxyUrl, ...]:
    if isinstance(value, list):
        return list_of(lambda item: parse_proxy_url(typed(item, str)))(value)
    if isinstance(value, str) and several_urls(value):
        raise ValueError(f"{quoted(value)} names several proxies; write {_array(several_urls(value))}")
    url = optional_proxy_url(value)
    return () if url is None else (url,)


def _array(texts: Sequence[str]) -> str:
    """Return texts as an array of TOML; of many the first ones."""
    shown = ", ".join(map(quoted, texts[:_SHOWN]))
    return f"[{shown}, ...]" if len(texts) > _SHOWN else f"[{shown}]"


def optional_proxy_url(value: Any) -> ProxyUrl | None:
    return parse_proxy_url(typed(value, str)) if value != "" else None


def owner_entries(value: Any) -> tuple[OperatorEntry, ...]:
    if isinstance(value, str) and proposals(value):
        raise ValueError(f"expected an array, got {_described(value)}; write {_array(proposals(value))}")
    return list_of(lambda item: parse_operator_entry(typed(item, str)))(value)


def cidr(value: Any) -> str:
    return canonical_cidr(typed(value, str))


def cidr_or_auto(value: Any) -> str:
    return "auto" if value == "auto" else cidr(value)


def cidrs_or_auto(value: Any) -> tuple[str, ...] | None:
    if value == "auto":
        return None
    cidrs = list_of(cidr)(value)
    if not cidrs:
        raise ValueError("must not be empty; every VPC has a CIDR")
    return cidrs


def cluster_name(value: Any) -> str:
    text = str(typed(value, str))
    if text and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", text):
        raise ValueError(f"{quoted(text)} is not an EKS cluster name")
    return text


def endpoint_host(value: Any) -> str:
    """Read an API endpoint and return its lower-case host.

    It is written `https://HOST[:PORT]`, HOST or a bare IPv6 address.
    """
    text = str(typed(value, str))
    if not text:
        return ""
    host = f"[{text}]" if text.count(":") > 1 and re.fullmatch("[0-9A-Fa-f:.]+", text) else text
    url = _url("https", text if "://" in text else "https://" + host)
    if url is None:
        raise ValueError(f"expected https://HOST, got {quoted(text)}")
    return url.host


def metadata_endpoint(value: Any) -> str:
    text = str(typed(value, str))
    if _url("http", text) is None:
        raise ValueError(f"expected http://HOST, got {quoted(text)}")
    return text.rstrip("/")


def _url(scheme: str, text: str) -> ProxyUrl | None:
    """Read `SCHEME://HOST` or `SCHEME://HOST:PORT` by the rules for a proxy, but for the port.

    Return None if it is anything else.
    """
    bare = text[:-1] if text.endswith("/") else text
    try:
        url = parse_proxy_url(bare if re.search(":[0-9]*$", bare) else bare + ":1")
    except ValueError:
        return None
    return url if url.scheme == scheme else None


def dns_domain(value: Any) -> str:
    text = str(typed(value, str)).lower().strip(".")
    if not is_host_name(text):
        raise ValueError(f"{quoted(str(value))} is not a DNS domain")
    return text


def region(value: Any) -> str:
    text = str(typed(value, str))
    if text and not re.fullmatch(r"[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}", text):
        raise ValueError(f"{quoted(text)} is not an AWS region")
    return text
