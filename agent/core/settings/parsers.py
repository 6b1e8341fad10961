"""Readers of single values in the settings: a TOML value in, our value out, or ValueError that says what is wrong.

Strict about types: a string is no number and a single string no list, because a setting that is
guessed at is a setting that surprises.
"""

from __future__ import annotations

import re
from typing import Any, Callable, TypeVar

from agent.core.net.proxy_url import ProxyUrl, is_host_name, parse_proxy_url, quoted
from agent.core.noproxy.entries import OwnerEntry, canonical_cidr, parse_owner_entry

T = TypeVar("T")

_TOML_TYPES = {
    bool: "a boolean",
    str: "a string",
    int: "an integer",
    float: "a number",
    list: "an array",
    dict: "a table",
}


def _typed(value: Any, wanted: type) -> Any:
    if type(value) is not wanted:
        raise ValueError(
            "{}is {}, not {}".format(_shown(value), _TOML_TYPES.get(type(value), "a date"), _TOML_TYPES[wanted])
        )
    return value


def _shown(value: Any) -> str:
    """A short value for a message; an array or a table would be too long, and may hold anything."""
    if isinstance(value, str):
        return quoted(value) + " "
    return f"{str(value).lower():.40} " if isinstance(value, (bool, int, float)) else ""


def boolean(value: Any) -> bool:
    return bool(_typed(value, bool))


def argument(value: Any) -> str:
    """A string that can stand in an argument vector, an environment or a line of a file."""
    text = str(_typed(value, str))
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in text):
        raise ValueError(f"{quoted(text)} has a control character")
    return text


def path(value: Any) -> str:
    text = argument(value)
    if not text.startswith("/") or "/../" in text + "/":
        raise ValueError(f"{quoted(text)} is no absolute path without ..")
    return text


def credentials_path(value: Any) -> str:
    """The path of the credentials file; one who takes the key for USER:PASSWORD must not read it in an error."""
    if isinstance(value, str) and ":" in value and not value.startswith("/"):
        raise ValueError("is no absolute path; USER:PASSWORD belongs into the file that it names")
    return optional_path(value)


def ca_bundle(value: Any) -> str:
    """A path, or PEM text itself; whether it is one of CA certificates is checked where it is read."""
    text = str(_typed(value, str)).strip()
    if "PRIVATE KEY" in text:
        raise ValueError("holds a private key, which does not belong on a node")
    return text if "-----BEGIN " in text or not text else path(text)


def optional_path(value: Any) -> str:
    return path(value) if value != "" else ""


def seconds(value: Any) -> float:
    number = value if type(value) is int else _typed(value, float)
    if not 0 < number <= 3600:
        raise ValueError(f"{_shown(value)}is not above 0 and up to 3600 seconds")
    return float(number)


def interval(value: Any) -> float:
    """Seconds between things that a daemon does again and again; below 10 it would be a load."""
    number = value if type(value) is int else _typed(value, float)
    if not 10 <= number <= 86400:
        raise ValueError(f"{_shown(value)}is not from 10 up to 86400 seconds")
    return float(number)


def seconds_or_auto(value: Any) -> float | None:
    return None if value == "auto" else seconds(value)


def one_of(*allowed: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        text = str(_typed(value, str))
        if text not in allowed:
            raise ValueError(f"{quoted(text)} is not allowed")
        return text

    return parse


def list_of(parse: Callable[[Any], T], *, repeated: bool = False) -> Callable[[Any], tuple[T, ...]]:
    """A reader of a list; each value once, unless `repeated` ones mean something; all wrong ones are named."""

    def parse_list(value: Any) -> tuple[T, ...]:
        values: list[T] = []
        wrong: list[str] = []
        for item in _typed(value, list):
            try:
                values.append(parse(item))
            except ValueError as error:
                wrong.append(str(error))
        if wrong:
            raise ValueError("; ".join(wrong))
        return tuple(values if repeated else dict.fromkeys(values))

    return parse_list


def auto_or(parse: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """A reader that takes "auto" too, as None."""
    return lambda value: None if value == "auto" else parse(value)


def never_or(parse: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """A reader that takes "never" too, as None."""
    return lambda value: None if value == "never" else parse(value)


def program(value: Any) -> str:
    """An absolute path, or a bare name that is looked up on PATH."""
    text = argument(value)
    return text if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text) else path(text)


def host_and_port(value: Any) -> str:
    """`HOST` or `HOST:PORT` as `HOST:PORT` in lower case; 443 when there is none."""
    text = str(_typed(value, str))
    url = _url("https", "https://" + (text if re.search(r"[^:]:[0-9]+$|\]:[0-9]+$", text) else text + ":443"))
    return "{}:{}".format(f"[{url.host}]" if ":" in url.host else url.host, url.port)


def proxy_urls(value: Any) -> tuple[ProxyUrl, ...]:
    if isinstance(value, list):
        return list_of(lambda item: parse_proxy_url(_typed(item, str)))(value)
    one = optional_proxy_url(value)
    return () if one is None else (one,)


def optional_proxy_url(value: Any) -> ProxyUrl | None:
    return parse_proxy_url(_typed(value, str)) if value != "" else None


def owner_entries(value: Any) -> tuple[OwnerEntry, ...]:
    return list_of(lambda item: parse_owner_entry(_typed(item, str)))(value)


def cidr(value: Any) -> str:
    return canonical_cidr(_typed(value, str))


def cidr_or_auto(value: Any) -> str:
    return "auto" if value == "auto" else cidr(value)


def cidrs_or_auto(value: Any) -> tuple[str, ...] | None:
    if value == "auto":
        return None
    found = list_of(cidr)(value)
    if not found:
        raise ValueError("is empty: every VPC has a CIDR")
    return found


def service_unit(value: Any) -> str:
    """A unit as systemctl takes it, `docker` or `docker.service`; the answer always ends in `.service`.

    Names become directories below /etc/systemd/system: only the characters of systemd.unit(5), no
    slash, no leading dot.
    """
    text = str(_typed(value, str))
    name = (
        text
        if re.search(r"\.(service|socket|target|timer|mount|path|slice|scope|device|swap|automount)$", text)
        else text + ".service"
    )
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9:_.@-]{0,200}", text):
        raise ValueError(f"{quoted(text)} is no unit name")
    if not name.endswith(".service") or name == ".service":
        raise ValueError(f"{quoted(text)} is no service; only services read an environment")
    if re.fullmatch(r"[^@]+@\.service", name):
        raise ValueError(f"{quoted(text)} is a template, of which systemd tells nothing; name its instances")
    return name


def cluster_name(value: Any) -> str:
    text = str(_typed(value, str))
    if text and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", text):
        raise ValueError(f"{quoted(text)} is no EKS cluster name")
    return text


def endpoint_host(value: Any) -> str:
    """The lower-case host of an API endpoint, which is written `https://HOST[:PORT]`, HOST or an IPv6 address alone."""
    text = str(_typed(value, str))
    host = f"[{text}]" if text.count(":") > 1 and re.fullmatch("[0-9A-Fa-f:.]+", text) else text
    return _url("https", text if "://" in text else "https://" + host).host if text else ""


def metadata_endpoint(value: Any) -> str:
    text = str(_typed(value, str))
    _url("http", text)
    return text.rstrip("/")


def _url(scheme: str, text: str) -> ProxyUrl:
    """Read `SCHEME://HOST` or `SCHEME://HOST:PORT` by the rules for a proxy, but for the port."""
    bare = text[:-1] if text.endswith("/") else text
    try:
        url = parse_proxy_url(bare if re.search(":[0-9]*$", bare) else bare + ":1")
    except ValueError:
        url = None
    if url is None or url.scheme != scheme:
        raise ValueError(f"{quoted(text)} is no {scheme}://HOST")
    return url


def dns_domain(value: Any) -> str:
    text = str(_typed(value, str)).lower().strip(".")
    if not is_host_name(text):
        raise ValueError(f"{quoted(str(value))} is no DNS domain")
    return text


def region(value: Any) -> str:
    text = str(_typed(value, str))
    if text and not re.fullmatch(r"[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}", text):
        raise ValueError(f"{quoted(text)} is no AWS region")
    return text
