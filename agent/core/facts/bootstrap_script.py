"""Cluster information in scripts of user data that call bootstrap.sh: literal words only.  Pure.

Managed node groups of Amazon Linux 2 style put API_SERVER_URL, --apiserver-endpoint and
--dns-cluster-ip into the shell part of the user data (amazon-eks-ami; "Customizing managed nodes
with launch templates" in the EKS user guide).  Nothing is evaluated: a word with `$`, a backquote
or a backslash is not read, and neither is one of two different words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Callable

from agent.core.settings import parsers

_ENDPOINT, _DNS, _CIDR_V4, _CIDR_V6 = "endpoint", "dns", "cidr-v4", "cidr-v6"
_NAMES = {
    "API_SERVER_URL": _ENDPOINT,
    "--apiserver-endpoint": _ENDPOINT,
    "K8S_CLUSTER_DNS_IP": _DNS,
    "--dns-cluster-ip": _DNS,
    "--service-ipv4-cidr": _CIDR_V4,
    "--service-ipv6-cidr": _CIDR_V6,
}
_WORD = r"""(?:"([\w.:/-]+)"|'([\w.:/-]+)'|([\w.:/-]+))(?=[\s;&|)]|\Z)"""
_ASSIGNMENT = re.compile(rf"[ \t]*(?:export[ \t]+)?(API_SERVER_URL|K8S_CLUSTER_DNS_IP)(=){_WORD}", re.ASCII)
_FLAG = re.compile(rf"(?<!\S)(--apiserver-endpoint|--dns-cluster-ip|--service-ipv[46]-cidr)(=|[ \t]+){_WORD}", re.ASCII)

#: Address of the cluster's DNS → service CIDR, for the two that EKS chooses from when none was
#: given. The prefix of any other CIDR does not show in the address.
SERVICE_CIDRS = {"10.100.0.10": "10.100.0.0/16", "172.20.0.10": "172.20.0.0/16"}


def literal_words(texts: Iterable[str]) -> dict[str, str]:
    """Return the values that scripts give bootstrap.sh, by kind.

    The kinds are endpoint (a host), dns, cidr-v4 and cidr-v6.  A wrong value is left out: the
    script is not the agent's.
    """
    words: dict[str, set[str]] = {}
    for text in texts:
        for line in text.replace("\\\n", " ").split("\n"):
            if not ("=" in line or "--" in line) or line.lstrip().startswith("#"):
                continue
            matches = [*filter(None, [_ASSIGNMENT.match(line)]), *_FLAG.finditer(line)]
            for match in matches:
                kind = _NAMES[match[1]]
                values = words.setdefault(kind, set())
                if len(values) < 2:
                    values.add(_value(kind, match[3] or match[4] or match[5]))
    return {kind: values.pop() for kind, values in words.items() if len(values) == 1 and "" not in values}


def _value(kind: str, word: str) -> str:
    """Return a word as settings have it, "" if it is wrong."""
    parse: Callable[[str], str] = parsers.endpoint_host if kind == _ENDPOINT else parsers.cidr
    try:
        if kind == _DNS:
            return word if ":" in word or re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", word) else ""
        return parse(word)
    except ValueError:
        return ""
