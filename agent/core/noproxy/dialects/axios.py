"""axios since 1.20, which exempts more than proxy-from-env does.

Source: lib/helpers/shouldBypassProxy.js; tested with 1.21.1.  1.15 to 1.19 lack the CIDRs.

- What proxy-from-env exempts (nodejs.py) is direct.  Then blanks and commas separate again, and `*`
  may be anywhere in the list.
- A CIDR is compared with a literal address of the URL.  Addresses are compared however they are
  spelled, with or without brackets: `010.0.3.4`, `10.772`, `0x0a.0.3.4`, and IPv4-mapped ones.
- Trailing dots are ignored on both sides.  A name covers itself only, `.example.com` and
  `*.example.com` the subdomains.  A port is compared; 0 stands for any.
- If an entry is a loopback address, every loopback address is direct; localhost, 0.0.0.0 and :: are
  such addresses too.
"""

from __future__ import annotations

import re
from collections.abc import Hashable

from agent.core.net.addresses import Address, address, folded
from agent.core.noproxy.dialects import nodejs
from agent.core.noproxy.dialects.index import Index, per_list, suffixes
from agent.core.noproxy.dialects.request import Request

VARIABLES = nodejs.PROXY_FROM_ENV_VARIABLES

_NUMBER = re.compile(r"0[xX]([0-9a-fA-F]{1,8})|(0[0-7]{1,11})|(0|[1-9][0-9]{0,9})")
_CIDR = re.compile(r"(.+)/(0|[1-9][0-9]{0,2})")
_BRACKETS = re.compile(r"\[([^\]]*)\](?:(?::([0-9]+))?\Z)?")
_WITH_PORT = re.compile(r"([^:]*):([0-9]+)")
#: Keys of all hosts, and of all loopback addresses.
_ANY, _LOOPBACK = ("any",), ("loopback",)


def bypass(target: Request, no_proxy: str) -> str | None:
    """Return the entry that makes the target direct, None for the proxy."""
    entry = nodejs.bypass_proxy_from_env(target, no_proxy)
    if entry is not None:
        return entry
    host = _canonical(target.host)
    keys: list[Hashable] = [_ANY, host, *suffixes(host), *([_LOOPBACK] if _is_loopback(host) else [])]
    keys += [(key, str(target.port)) for key in keys]
    index, literal = _index(no_proxy), address(host)
    return index.first(keys if literal is None else [*keys, *index.network_keys(literal)])


@per_list
def _index(no_proxy: str) -> Index:
    """Return the entries by the host or suffix that each is compared as, with its port if any."""
    index = Index()
    for text in filter(None, nodejs.split_at_blanks(no_proxy)):
        if "/" in text:
            network = _network(text.lower())
            if network is not None:
                index.add_network(*network, text)
            continue
        if text == "*":
            index.add(_ANY, text)
        name, port = _split(text.lower())
        host = re.sub(r"\A\*", "", _canonical(name))
        for key in (host, *([_LOOPBACK] if _is_loopback(host) else [])):
            if key:
                index.add((key, port) if port else key, text)
    return index


def _split(text: str) -> tuple[str, str]:
    """Return the host of an entry without brackets, and its port, "" for any."""
    match = _BRACKETS.match(text) or _WITH_PORT.fullmatch(text)
    return (match.group(1), (match.group(2) or "").lstrip("0")) if match else (text, "")


def _canonical(text: str) -> str:
    """Return a host in one spelling: addresses as numbers, without trailing dots, IDNA in ASCII."""
    text = text.rstrip(".")
    if ":" in text:
        literal = address(text)
        return text if literal is None else nodejs.url_address(folded(literal))
    if not text.isascii():
        prefix = re.match(r"[*.]*", text)
        start = prefix.end() if prefix else 0
        try:
            text = text[:start] + text[start:].encode("idna").decode("ascii")
        except UnicodeError:
            return ""
    return _ipv4(text) or text


def _ipv4(text: str) -> str:
    """Return the address of two to four numbers, of which the last fills the rest, or ""."""
    matches = [_NUMBER.fullmatch(part) for part in text.split(".")]
    if not 2 <= len(matches) <= 4:
        return ""
    numbers = [_number(match) for match in matches if match is not None]
    if len(numbers) < len(matches):
        return ""
    room = 5 - len(numbers)
    if any(number > 255 for number in numbers[:-1]) or numbers[-1] >= 256**room:
        return ""
    return ".".join(map(str, [*numbers[:-1], *numbers[-1].to_bytes(room, "big")]))


def _number(match: re.Match[str]) -> int:
    hexadecimal, octal, decimal = match.groups()
    return int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal)


def _network(text: str) -> tuple[Address, int] | None:
    """Return base and length of a CIDR; one of IPv4-mapped addresses becomes one of IPv4."""
    match = _CIDR.fullmatch(text)
    if match is None:
        return None
    base, bits = match.group(1), int(match.group(2))
    if base.startswith("[") and base.endswith("]") and ":" in base:
        base = base[1:-1]
    literal = address(base if ":" in base else _ipv4(base) if not base.endswith(".") else "")
    if literal is None or bits > literal.max_prefixlen:
        return None
    mapped = folded(literal)
    if mapped is literal:
        return literal, bits
    return (mapped, bits - 96) if bits >= 96 else None


def _is_loopback(host: str) -> bool:
    literal = address(host)
    return host == "localhost" if literal is None else literal.is_loopback or literal.is_unspecified
