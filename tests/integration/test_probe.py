"""What is reached directly, asked in a network namespace where names answer, refuse, stay silent or
are unknown.
"""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from tests.integration.scratch import REPOSITORY, Node

pytestmark = pytest.mark.needs_root("a network namespace")

REGION = "eu-central-1.amazonaws.com"
API_SERVER = "abc.gr7.eu-central-1.eks.amazonaws.com"

#: Runs in the namespace: the listeners, and a name server that knows nobody.
SCENE = """
import json, os, socket, sys, threading

def listen(family, address, backlog=16):
    sock = socket.socket(family)
    sock.bind((address, 443))
    sock.listen(backlog)
    return sock

answers = [listen(socket.AF_INET, "192.0.2.1"), listen(socket.AF_INET6, "fd00:e::1")]
ingress = [listen(socket.AF_INET, "127.0.0.1"), listen(socket.AF_INET6, "::1")]  # a pod with a port of the node
silent = listen(socket.AF_INET, "192.0.2.3", 0)
full = []
for _ in range(4):  # a queue that is full drops every SYN
    full.append(socket.socket())
    full[-1].setblocking(False)
    full[-1].connect_ex(("192.0.2.3", 443))

names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind(("192.0.2.53", 53))

def serve_names():
    while True:
        query, client = names.recvfrom(512)
        if b"never" in query:
            continue  # a resolver that hangs
        names.sendto(query[:2] + bytes([0x81, 0x83]) + query[4:], client)  # NXDOMAIN
        if b"late" in query:
            with open("/etc/hosts", "a") as hosts:
                hosts.write("192.0.2.1 late.test\\n")

threading.Thread(target=serve_names, daemon=True).start()
"""
IN_NAMESPACE = """
mount --bind "$1/hosts" /etc/hosts
mount --bind "$1/resolv.conf" /etc/resolv.conf
for address in 192.0.2.1/32 192.0.2.2/32 192.0.2.3/32 192.0.2.53/32 fd00:e::1/128; do
    ip address add $address dev lo
done
ip link set lo up
shift
exec "$@"
"""


def in_namespace(directory, hosts, program):
    """What a Python program prints as JSON when it runs beside SCENE; `hosts` are name and
    addresses.
    """
    (directory / "hosts").write_text("".join(f"{address} {name}\n" for name, address in hosts))
    (directory / "resolv.conf").write_text("nameserver 192.0.2.53\noptions timeout:30 attempts:5\n")
    inside = ["unshare", "--net", "--mount", "sh", "-euc", IN_NAMESPACE, "sh", directory]
    done = subprocess.run(
        [*inside, sys.executable, "-c", SCENE + textwrap.dedent(program)],
        cwd=REPOSITORY, env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE, timeout=60, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


ASK = """
    from agent.edges import tcp
    found = tcp.probe(%r, bound=%r)
    print(json.dumps({host: [answer.direct, answer.addresses] for host, answer in found.items()}))
    sys.stdout.flush()
    os._exit(0)  # whoever still waits for the silent name server
"""


def test_only_hosts_that_accept_are_direct_and_nothing_holds_it_up(tmp_path):
    """A refusal, a dropped SYN, a sinkhole, an unknown name and a name server that says nothing are
    all no, in one second.
    """
    hosts = [
        ("answers.test", "192.0.2.1"),
        ("ipv6.test", "fd00:e::1"),
        ("one-of-two.test", "192.0.2.3"),
        ("one-of-two.test", "192.0.2.1"),
        ("refuses.test", "192.0.2.2"),
        ("silent.test", "192.0.2.3"),
        ("sinkhole.test", "0.0.0.0"),
        ("sinkhole.test", "::"),
        ("sinkhole-at-home.test", "127.0.0.1"),
        ("unreachable.test", "203.0.113.9"),
    ]
    asked = sorted({name for name, _ in hosts} | {"never.test", "unknown.test", "late.test", "bad..name"})
    found = in_namespace(tmp_path, hosts, ASK % (asked, 1.0))
    assert [host for host in asked if found[host][0]] == ["answers.test", "ipv6.test", "late.test", "one-of-two.test"]
    assert found["silent.test"][1] == ["192.0.2.3"]
    assert found["never.test"][1] == []


def test_hosts_that_are_all_decided_are_not_waited_for(tmp_path):
    """The bound is a limit and no pause: ten minutes of it pass at once when every host has
    accepted or refused.
    """
    found = in_namespace(
        tmp_path, [("a.test", "192.0.2.1"), ("b.test", "192.0.2.2")], ASK % (["a.test", "b.test"], 600)
    )
    assert (found["a.test"][0], found["b.test"][0]) == (True, False)


APPLY = """
    import contextlib
    from agent.node import inputs, reachability
    from agent.cli import main

    asked, ask = [], reachability.tcp.probe
    def noted(hosts, **options):
        asked.append(sorted(hosts))
        return ask(hosts, **options)
    reachability.tcp.probe = noted
    inputs.is_on_instance = lambda host, sources: True

    def apply(*flags):
        with contextlib.redirect_stdout(sys.stderr):
            assert main(%r + list(flags)) == 0
        with open(%r) as status:
            return {e["entry"]: e["reason"] for e in json.load(status)["no_proxy"]}

    runs = [apply()]
    for sock in answers:
        sock.close()
    runs += [apply(), apply("--refresh")]
    print(json.dumps({"runs": runs, "asked": asked}))
    sys.stdout.flush()
    os._exit(0)
"""


def test_auto_takes_exactly_what_answers_and_asks_once(tmp_path):
    """Services that accept enter NO_PROXY and stay when they are silent later, until --refresh; no
    other service enters.
    """
    node = Node(tmp_path / "node")
    sets = ["aws.direct=auto", "cluster.endpoint_access=auto", f"cluster.endpoint=https://{API_SERVER}"]
    arguments = node.arguments("apply", *(word for one in sets for word in ("--set", one)))
    hosts = [
        ("ec2." + REGION, "192.0.2.1"),
        ("s3." + REGION, "192.0.2.3"),
        ("s3." + REGION, "192.0.2.1"),
        ("api.ecr." + REGION, "192.0.2.2"),
        ("logs." + REGION, "192.0.2.3"),
        (API_SERVER, "10.0.7.1"),
    ]
    status = str(node.root / "run/eks-proxy-agent/status.json")
    found = in_namespace(tmp_path, hosts, APPLY % (arguments, status))
    first, second, refreshed = found["runs"]
    tried = {entry: reason for entry, reason in first.items() if reason.startswith(("direct:", "aws:"))}
    assert tried == {"ec2." + REGION: "direct:ec2", "s3." + REGION: "direct:s3"}
    assert first[API_SERVER] == "api-endpoint", "its address lies in the VPC"
    assert second == first
    assert not [reason for reason in refreshed.values() if reason.startswith("direct:")]
    assert len(found["asked"]) == 2, "the second run asks nobody"
    assert found["asked"][0] == found["asked"][1]
