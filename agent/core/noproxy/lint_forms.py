"""The intention behind an entry of NO_PROXY, whatever its form.

A form has test targets for the dialects, and the spelling that every client reads.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from agent.core.net.addresses import address, canonical
from agent.core.net.proxy_url import is_host_name
from agent.core.noproxy.entries import spellings
from agent.core.noproxy.explain import network

#: Public top-level domains. Any other single label is a private zone.
_PUBLIC = set("com net org edu gov mil int info biz dev app cloud name pro xyz online site store tech arpa aws".split())
#: Country codes (IANA's root zone).  The rule "any two letters" would be shorter but wrong: `db`
#: and `hq` are private names, which need no warning.
_COUNTRIES = set(
    "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bw by bz ca cc cd cf "
    "cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gd ge gf gg "
    "gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn "
    "kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na "
    "nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh "
    "si sk sl sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc ve "
    "vg vi vn vu wf ws ye yt za zm zw".split()
)
#: Labels of second-level domains that are as wide as a top-level domain: co.uk, com.cn.
_REGISTRIES = set("co com net org gov edu ac go ne or".split())
_ALL_OF_AWS = set("amazonaws.com amazonaws.com.cn api.aws on.aws amazonwebservices.com.cn".split())


_WITH_PORT = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+):([0-9]{1,5})")
_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
_UNIQUE_LOCAL = ipaddress.IPv6Network("fc00::/7")


class Form(NamedTuple):
    """The form of an entry.

    `targets` are URLs that the entry should exempt, none if its intention is unknown.  `text` is
    the consequence in clients that do not exempt them; str.format puts the clients into its {}.
    `fix` is empty if there is no better form.
    """

    kind: str
    targets: tuple[str, ...] = ()
    text: str = "the hosts that it names use the proxy in {}"
    fix: str = ""


def form_of(entry: str) -> Form:
    """Return the form of an entry, given the text between two commas."""
    text = entry.strip()
    if text != entry:
        return _respelt("blank", text, "it is ignored by {} because of the blank beside it")
    if len(text.split()) > 1:
        return _several(text.split())
    if "://" in text:
        host = re.split(r"[/?#]", text.partition("://")[2])[0].rpartition("@")[2]
        return _respelt("url", host, "it is ignored by {} because it is a URL")
    if "*" in text:
        return _wildcard(text)
    if "/" in text:
        return _cidr(text)
    if ":" in text and address(text.strip("[]")) is not None:
        return _ipv6(text.strip("[]"))
    port = _WITH_PORT.fullmatch(text)
    if port and _is_host(port.group(1).strip("[]").lstrip(".")):
        plain = " and ".join(spellings(port.group(1).strip("[]").lower()))
        consequence = "it is ignored by {} because of its port"
        return Form("port", ("http://" + text.lstrip("."),), consequence, f"write {plain}, for all ports")
    return _name(text)


def _respelt(kind: str, better: str, text: str) -> Form:
    """Return the form of an entry that should be `better`, or what in turn is better than that."""
    inner = form_of(better) if better and better.strip() == better and "://" not in better else Form("")
    return Form(kind, inner.targets, text, inner.fix or "write " + better) if inner.targets else _unreadable(better)


def _several(words: list[str]) -> Form:
    """Return the form of entries with a blank instead of a comma, where only some clients split."""
    forms = [form_of(word) for word in words]
    if not all(form.targets for form in forms):
        return _unreadable(" ".join(words))
    targets = tuple(target for form in forms for target in form.targets)
    consequence = "it is ignored by {} because of a blank instead of a comma"
    return Form("blank", targets, consequence, "write " + ",".join(words))


def _wildcard(text: str) -> Form:
    rest = text.lstrip("*").lstrip(".")
    consequence = "it is ignored by {} because of the *"
    if text.startswith("*") and _is_host(rest) and address(rest) is None:  # an address has no subdomains
        return Form("wildcard", ("https://www." + rest,), consequence, "write " + rest)
    octets = text.rstrip("*").rstrip(".").split(".")
    if text.endswith("*") and len(octets) < 4 and _is_host(".".join(octets + ["1"] * (4 - len(octets)))):
        missing = 4 - len(octets)
        cidr = f"{'.'.join(octets + ['0'] * missing)}/{8 * len(octets)}"
        return Form("wildcard", ("https://" + ".".join(octets + ["1"] * missing),), consequence, "write " + cidr)
    return _unreadable(text)


def _cidr(text: str) -> Form:
    cidr = network(text)
    if cidr is None:
        return _unreadable(text)
    host = str(cidr.network_address + min(7, cidr.num_addresses - 1))
    if cidr.num_addresses == 1:
        return _respelt("cidr", canonical(cidr.network_address), "it is ignored by {} because of its /")
    consequence = "its addresses use the proxy in {}; there is no better form for a network"
    return Form("cidr", (f"https://[{host}]" if ":" in host else "https://" + host,), consequence)


def _ipv6(text: str) -> Form:
    return Form("ipv6", (f"https://[{text}]",), "it is ignored by {}", f"write both {text} and [{text}]")


def _name(text: str) -> Form:
    name = text.lstrip(".")
    bare = (name[:-1] if name.endswith(".") else name).lower()
    if not _is_host(bare):
        return _unreadable(text)
    itself = "https://" + bare
    below = () if address(bare) is not None else ("https://www." + bare,)
    if name.endswith("."):
        return Form("final-dot", (itself, *below), "it is ignored by {} because of its trailing dot", "write " + bare)
    if not text.startswith("."):
        return Form("name", (itself, *below))
    if "." not in bare:
        return Form("suffix", below)  # no host has the name of a top-level domain
    consequence = bare + " itself uses the proxy in {}"
    return Form("suffix", (*below, itself), consequence, f"write {bare}, which also covers its subdomains")


def _unreadable(text: str) -> Form:
    try:
        better = "" if text.isascii() else text.lower().encode("idna").decode("ascii")
    except UnicodeError:
        better = ""
    return Form("unreadable", fix="write " + (better if _is_host(better) else "one"))


def _is_host(text: str) -> bool:
    """Return True if a target can have this host; a name must not end in a number."""
    return address(text) is not None or (is_host_name(text.lower()) and not _NUMBER.fullmatch(text.lower()))


def breadth(entry: str) -> str:
    """Return what an entry exempts if that is a large part of the internet, else ""."""
    text = entry.strip().lower()
    if text in ("*", ".", "*."):
        return "every request bypasses the proxy in clients that support *"
    cidr = network(text)
    if cidr is not None:
        shortest = 8 if isinstance(cidr, ipaddress.IPv4Network) else 16
        is_local = isinstance(cidr, ipaddress.IPv6Network) and cidr.subnet_of(_UNIQUE_LOCAL)
        return "it exempts a large part of all addresses" if cidr.prefixlen < shortest and not is_local else ""
    name = text.lstrip("*").strip(".")
    labels = name.split(".")
    if name in _ALL_OF_AWS:
        return "it exempts AWS in all regions, so services without a VPC endpoint are unreachable"
    is_top_level = len(labels) == 1 and (name in _PUBLIC or name in _COUNTRIES)
    if is_top_level or (len(labels) == 2 and labels[0] in _REGISTRIES and labels[1] in _COUNTRIES):
        return f"it exempts every host below .{name}"
    return ""


def may_cover(other: str, entry: str) -> bool:
    """Return False if `other` certainly does not cover `entry`.

    It is cheap, because it is called for every pair.
    """
    wide, narrow = other.strip().lower().strip("[]"), entry.strip().lower().strip("[]")
    if wide == narrow:
        return other == entry or ":" not in wide
    if "/" in wide:
        outer = network(wide)
        inner = network(narrow) or network(narrow + ("/128" if ":" in narrow else "/32"))
        if outer is None or inner is None or outer.version != inner.version:
            return False
        return inner.subnet_of(outer)  # type: ignore[arg-type]
    suffix = "." + wide.lstrip(".")
    return narrow.endswith(suffix) and address(narrow) is None and "/" not in narrow
