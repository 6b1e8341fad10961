"""What an entry of NO_PROXY evidently means, whatever its form: hosts to ask the dialects with, and a form that all read."""

from __future__ import annotations

import ipaddress
import re

import attrs

from agent.core.net.addresses import address
from agent.core.net.proxy_url import is_host_name
from agent.core.noproxy.entries import spellings
from agent.core.noproxy.explain import network

#: Top-level domains under which the world lives; a single label that is none of them is a zone of
#: somebody's own.
_WORLD = set("com net org edu gov mil int info biz dev app cloud name pro xyz online site store tech arpa aws".split())
#: Country codes (IANA's root zone).  "Any two letters" would be a shorter rule with other verdicts:
#: `db` and `hq` are short names of somebody's own, and a warning of them would be wrong.
_COUNTRIES = set(
    "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bw by bz ca cc cd cf "
    "cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gd ge gf gg "
    "gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn "
    "kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na "
    "nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh "
    "si sk sl sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc ve "
    "vg vi vn vu wf ws ye yt za zm zw".split()
)
#: Second-level domains that are as wide: co.uk, com.cn.
_REGISTRIES = set("co com net org gov edu ac go ne or".split())
_ALL_OF_AWS = set("amazonaws.com amazonaws.com.cn api.aws on.aws amazonwebservices.com.cn".split())


_UNIQUE_LOCAL = ipaddress.IPv6Network("fc00::/7")


@attrs.frozen
class Form:
    """`meant` are targets that the entry should exempt (none: it cannot be told), `text` what happens where it does not.

    `text` takes the clients for its {} (str.format).  `fix` is empty where nothing better exists.
    """

    kind: str
    meant: tuple[str, ...] = ()
    text: str = "what it means goes through the proxy in {}"
    fix: str = ""


def form_of(entry: str) -> Form:
    """The form of an entry as it stands between two commas."""
    text = entry.strip()
    if text != entry:
        return _respelt("blank", text, "with the blank beside it, it means nothing to {}")
    if len(text.split()) > 1:
        return _several(text.split())
    if "://" in text:
        host = re.split(r"[/?#]", text.partition("://")[2])[0].rpartition("@")[2]
        return _respelt("url", host, "a URL means nothing to {}")
    if "*" in text:
        return _wildcard(text)
    if "/" in text:
        return _cidr(text)
    if ":" in text and address(text.strip("[]")) is not None:
        return _ipv6(text.strip("[]"))
    port = re.fullmatch(r"(\[[^\[\]]+\]|[^:\[\]]+):([0-9]{1,5})", text)
    if port and _is_host(port.group(1).strip("[]").lstrip(".")):
        plain = " and ".join(spellings(port.group(1).strip("[]").lower()))
        said = "with a port it means nothing to {}"
        return Form("port", ("http://" + text.lstrip("."),), said, f"write {plain}, for all ports")
    return _name(text)


def _respelt(kind: str, better: str, text: str) -> Form:
    """What only has to be written as `better`, or as what is better still, if that means something."""
    inner = form_of(better) if better and better.strip() == better and "://" not in better else Form("")
    return Form(kind, inner.meant, text, inner.fix or "write " + better) if inner.meant else _unreadable(better)


def _several(words: list[str]) -> Form:
    """What has a blank where a comma should be: some clients split there as well."""
    forms = [form_of(word) for word in words]
    if not all(form.meant for form in forms):
        return _unreadable(" ".join(words))
    meant = tuple(text for form in forms for text in form.meant)
    return Form("blank", meant, "with a blank instead of a comma it means nothing to {}", "write " + ",".join(words))


def _wildcard(text: str) -> Form:
    rest = text.lstrip("*").lstrip(".")
    said = "the * means nothing to {}"
    if text.startswith("*") and _is_host(rest) and address(rest) is None:  # an address has no subdomains
        return Form("wildcard", ("https://www." + rest,), said, "write " + rest)
    octets = text.rstrip("*").rstrip(".").split(".")
    if text.endswith("*") and len(octets) < 4 and _is_host(".".join(octets + ["1"] * (4 - len(octets)))):
        cidr = "{}/{}".format(".".join(octets + ["0"] * (4 - len(octets))), 8 * len(octets))
        return Form("wildcard", ("https://" + ".".join(octets + ["1"] * (4 - len(octets))),), said, "write " + cidr)
    return _unreadable(text)


def _cidr(text: str) -> Form:
    found = network(text)
    if found is None:
        return _unreadable(text)
    host = str(found.network_address + min(7, found.num_addresses - 1))
    said = "the addresses in it take the proxy in {}; nothing better exists for a network"
    return Form("cidr", (f"https://[{host}]" if ":" in host else "https://" + host,), said)


def _ipv6(text: str) -> Form:
    return Form("ipv6", (f"https://[{text}]",), "it means nothing to {}", f"write both {text} and [{text}]")


def _name(text: str) -> Form:
    name = text.lstrip(".")
    bare = (name[:-1] if name.endswith(".") else name).lower()
    if not _is_host(bare):
        return _unreadable(text)
    itself = "https://" + bare
    below = () if address(bare) is not None else ("https://www." + bare,)
    if name.endswith("."):
        return Form("final-dot", (itself, *below), "with its final dot it means nothing to {}", "write " + bare)
    if not text.startswith("."):
        return Form("name", (itself, *below))
    if "." not in bare:
        return Form("suffix", below)  # no host has the name of a top-level domain
    said = bare + " itself takes the proxy in {}"
    return Form("suffix", (*below, itself), said, f"write {bare}, which covers what is below it too")


def _unreadable(text: str) -> Form:
    try:
        better = "" if text.isascii() else text.lower().encode("idna").decode("ascii")
    except UnicodeError:
        better = ""
    return Form("unreadable", fix="write " + (better if _is_host(better) else "one"))


def _is_host(text: str) -> bool:
    """Whether there can be a target of this host: a name that ends in a number is none."""
    numeric = re.fullmatch(r"(.*\.)?([0-9]+|0x[0-9a-f]*)", text.lower())
    return address(text) is not None or (is_host_name(text.lower()) and not numeric)


def breadth(entry: str) -> str:
    """What the entry exempts, if that is a large part of the internet; else nothing."""
    text = entry.strip().lower()
    if text in ("*", ".", "*."):
        return "every request goes past the proxy, in the clients that know *"
    found = network(text)
    if found is not None:
        few = 8 if isinstance(found, ipaddress.IPv4Network) else 16
        local = isinstance(found, ipaddress.IPv6Network) and found.subnet_of(_UNIQUE_LOCAL)
        return "it exempts a large part of all addresses" if found.prefixlen < few and not local else ""
    name = text.lstrip("*").strip(".")
    labels = name.split(".")
    if name in _ALL_OF_AWS:
        return "it exempts AWS in all regions, endpoint or not: without one there is no way to it"
    top = len(labels) == 1 and (name in _WORLD or name in _COUNTRIES)
    if top or (len(labels) == 2 and labels[0] in _REGISTRIES and labels[1] in _COUNTRIES):
        return f"it exempts every host below .{name}"
    return ""


def may_cover(other: str, entry: str) -> bool:
    """Whether it is worth asking if `other` covers `entry`; cheap, because every pair is asked."""
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
