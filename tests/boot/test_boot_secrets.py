"""The search for the proxy's password: it finds a password in each place where one is planted."""

from __future__ import annotations

import base64
import json
import re
import shlex
from typing import Callable
from urllib.parse import quote

import pytest

from tests.boot.harness import secrets
from tests.boot.harness.bed import Trial
from tests.boot.harness.services import REGISTRY_NAME

PASSWORD = "Tr0ub4dor&3"
#: Place as the search names it → command that puts the password there.
PLANTED = {
    r"^/var/lib/planted \(mode 0600\)": f"umask 077; echo '{PASSWORD}' > /var/lib/planted",
    r"^/etc/eks-proxy-agent/node.env \(mode 0640\)": "chmod 640 /etc/eks-proxy-agent/node.env",
    r"^/var/lib/linked \(mode 0777\)": f"ln -s 'to-{PASSWORD}' /var/lib/linked",
    r"^/run/planted \(mode 0644\)": f"echo '{PASSWORD}' > /run/planted",
    r"^journal, field MESSAGE": f"echo '{PASSWORD}' | logger",
    r"^argv of process \d+ of argv.service": f"systemd-run --unit=argv sh -c 'sleep 1000; true' '{PASSWORD}'",
    r"^environ of process \d+ of environ.service": f"systemd-run --unit=environ --setenv='A={PASSWORD}' sleep 1000",
    r"^evidence: /shown": f"echo 'HTTP_PROXY=http://a:{quote(PASSWORD)}@b' > /probe/shown",
    r"^evidence: /a.tar.gz, member shown": f"cd /probe && echo '{PASSWORD}' > shown && tar -czf a.tar.gz shown",
    r"^network: 192.0.2.20:5000": f"curl --silent --noproxy '*' --user 'svc-eks:{PASSWORD}' http://192.0.2.20:5000/",
}


def test_password_is_found_wherever_it_is_planted(trial: Callable[[str], Trial]) -> None:
    """File, link, /run, journal, argv, environ, evidence and network: each fails the boot."""
    node = trial("credentials")
    running = node.start(hold=True)
    running.wait_settled()
    for command in PLANTED.values():
        running.run("sh", "-euc", command)
    with pytest.raises(AssertionError, match="the proxy's password is in:") as raised:
        running.finish()
    assert [place for place in PLANTED if not re.search(place, str(raised.value), re.MULTILINE)] == []


@pytest.mark.parametrize("password", ["Tr0ub4dor&3", "Zq7Head4@:/%#$!&'\"` \\é vXkTail9"])
def test_password_is_recognized_in_every_encoding(password: str) -> None:
    """A URL, a header, a shell and JSON write it differently."""
    traces = secrets.traces(f"me:{password}")
    header = base64.b64encode(f"me:{password}".encode()).decode()
    for text in (
        password,
        f"Basic {header}",
        json.dumps(password)[1:-1],
        shlex.quote(password),
        quote(password, safe=""),
    ):
        assert any(trace in text for trace in traces), text
    assert not any(trace in f"http://me:***@{REGISTRY_NAME}" for trace in traces)
