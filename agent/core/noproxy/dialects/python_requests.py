"""Python's requests (pip, cloud-init), before 2.34 and since.

Source: should_bypass_proxies() in requests/utils.py, which also calls urllib; tested with 2.32.5
and 2.34.2.

- All blanks of the value are removed; entries are separated by commas.
- IPv4: the same text, or a CIDR from /1 to /32, compared with a literal address of the URL.  Names
  are not resolved.
- Anything else is text, compared with the host (IPv6 without brackets) and with HOST:PORT as the
  URL has them.  Before 2.34 a suffix is enough: `example.com` covers notexample.com.  Since 2.34 an
  entry covers itself and its subdomains.
- A host that urllib exempts without its port is direct too; thus `*` as the complete value works.
- A lower-case variable has precedence over upper case; for the proxy even if it is empty.
  all_proxy is read too.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Callable

from agent.core.net.addresses import address
from agent.core.noproxy.dialects import python_urllib
from agent.core.noproxy.dialects.dialect import Variables
from agent.core.noproxy.dialects.index import Index, domains, per_list
from agent.core.noproxy.dialects.request import Request

VARIABLES = Variables(
    http=("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
    https=("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
    no_proxy=("no_proxy", "NO_PROXY"),
    decisive=("http_proxy", "https_proxy", "all_proxy"),
)


def bypass(target: Request, no_proxy: str) -> str | None:
    """Return the entry that makes the target direct, None for the proxy; 2.34 and later."""
    return _bypass(target, no_proxy, _indexes(no_proxy)[1], domains)


def bypass_old(target: Request, no_proxy: str) -> str | None:
    """Return the same for versions before 2.34."""
    return _bypass(target, no_proxy, _indexes(no_proxy)[0], _ends)


def _bypass(target: Request, no_proxy: str, names: Index, keys_of: Callable[[str], tuple[str, ...]]) -> str | None:
    literal = address(target.host)
    if literal is not None and literal.version == 4:
        texts = _indexes(no_proxy)[0]
        entry = texts.first([target.host, *texts.network_keys(literal)])
    else:
        entry = names.first(keys_of(target.host) + (keys_of(f"{target.host}:{target.port}") if target.has_port else ()))
    return entry or python_urllib.bypass_netloc(target.host, no_proxy)


def _ends(host: str) -> tuple[str, ...]:
    return tuple(host[place:] for place in range(len(host)))


@per_list
def _indexes(no_proxy: str) -> tuple[Index, Index]:
    """Return the entries by their text or network, and by their domain; blanks are removed."""
    texts, by_domain = Index(), Index()
    for entry in no_proxy.replace(" ", "").split(","):
        if entry:
            texts.add(entry, entry)
            by_domain.add(entry.lstrip("."), entry)
            network = _network(entry)
            if network is not None:
                texts.add_network(*network, entry)
    return texts, by_domain


def _network(entry: str) -> tuple[ipaddress.IPv4Address, int] | None:
    if entry.count("/") != 1:
        return None
    base_text, bits_text = entry.split("/")
    base = _inet_aton(base_text)
    try:
        bits = int(bits_text)
    except ValueError:
        return None
    return None if base is None or not 1 <= bits <= 32 else (ipaddress.IPv4Address(base), bits)


def _inet_aton(text: str) -> int | None:
    """Parse an address like inet_aton(3).

    It has one to four numbers, decimal, hexadecimal or octal; the last one fills the remaining
    bytes. A blank ends it.
    """
    match = re.match(r"((?:0[xX][0-9a-fA-F]+|[0-9]+)(?:\.(?:0[xX][0-9a-fA-F]+|[0-9]+)){0,3})(?=[\t\n\v\f\r ]|\Z)", text)
    if match is None:
        return None
    try:
        numbers = [int(part, _base(part)) for part in match.group(1).split(".")]
    except ValueError:
        return None
    room = 8 * (5 - len(numbers))
    if any(number > 255 for number in numbers[:-1]) or numbers[-1] >> room:
        return None
    return sum(number << (24 - 8 * place) for place, number in enumerate(numbers[:-1])) + numbers[-1]


def _base(part: str) -> int:
    return 16 if part[:2] in ("0x", "0X") else 8 if part.startswith("0") else 10
