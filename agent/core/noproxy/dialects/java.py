"""The agent's list as the option of Java, which ignores the environment.

Source: the JDK's networking properties (`http.nonProxyHosts`, which counts for https as well) and
DefaultProxySelector; tested with 17.0.15 and 25.

- Patterns are separated by `|`; a `*` may be first or last.  Text is compared with the URL's host
  without case; an IPv6 address has brackets and matches only as the URL spells it.  CIDRs and ports
  are not read and names are not resolved.
- The JVM adds localhost, 127.*, [::1], 0.0.0.0 and [::0] to any value but the empty one, which
  exempts nothing at all.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from agent.core.net.addresses import address, ipv4
from agent.core.net.proxy_url import is_host_name
from agent.core.record import record

#: A network whose prefix is not a whole number of octets becomes one pattern for each octet value,
#: at most this many.
MOST_PATTERNS = 16


@record
class NonProxyHosts:
    """The value of -Dhttp.nonProxyHosts.

    `left_out` are the entries that it cannot express.
    """

    value: str
    left_out: tuple[str, ...]

    @property
    def option(self) -> str:
        """Return the option, or "" if the value is empty.

        An empty value would remove the JVM's own exemption of loopback.
        """
        return "-Dhttp.nonProxyHosts=" + self.value if self.value else ""


def non_proxy_hosts(entries: Iterable[str]) -> NonProxyHosts:
    """Return the value for the entries of a NO_PROXY list, spelled as the agent spells them."""
    patterns: list[str] = []
    left_out: list[str] = []
    for entry in entries:
        translated = _patterns(entry.strip().lower())
        if translated is None:
            left_out.append(entry)
        else:
            patterns += translated
    return NonProxyHosts("|".join(dict.fromkeys(patterns)), tuple(left_out))


def _patterns(entry: str) -> list[str] | None:
    if entry in ("", "*"):
        return [entry] if entry else []
    bare = entry[1:-1] if entry.startswith("[") and entry.endswith("]") else entry
    literal = address(bare)
    if literal is not None:
        return [f"[{bare}]" if literal.version == 6 else bare]
    if "/" in entry:
        return _network(entry)
    suffix = entry[1:] if entry.startswith("*") else entry
    name = suffix[1:] if suffix.startswith(".") else suffix
    if not is_host_name(name[:-1] if name.endswith(".") else name):
        return None
    return [entry, "*." + entry] if name == entry else ["*" + suffix]


def _network(entry: str) -> list[str] | None:
    base, _, bits = entry.partition("/")
    if ipv4(base) is None or not re.fullmatch("[0-9]{1,2}", bits) or not 1 <= int(bits) <= 32:
        return None
    network = ipaddress.IPv4Network(entry, strict=False)
    octets = -(-network.prefixlen // 8)
    parts = (
        list(network.subnets(new_prefix=8 * octets)) if 2 ** (8 * octets - network.prefixlen) <= MOST_PATTERNS else []
    )
    if octets == 4:
        return [str(part.network_address) for part in parts] or None
    return [".".join(str(part.network_address).split(".")[:octets]) + ".*" for part in parts] or None
