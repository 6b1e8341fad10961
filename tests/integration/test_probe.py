"""Probes of direct endpoints, in a network namespace.

Its names accept, refuse, do not respond, or do not resolve.
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

#: Runs in the namespace: the listeners, and a name server that knows no name.
SCENE = """
import json, os, socket, sys, threading

def listen(family, address, backlog=16):
    sock = socket.socket(family)
    sock.bind((address, 443))
    sock.listen(backlog)
    return sock

accepting = [listen(socket.AF_INET, "192.0.2.1"), listen(socket.AF_INET6, "fd00:e::1")]
ingress = [listen(socket.AF_INET, "127.0.0.1"), listen(socket.AF_INET6, "::1")]  # a pod with a host port
silent = listen(socket.AF_INET, "192.0.2.3", 0)
full = []
for _ in range(4):  # a full queue drops every SYN
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
    """Run a Python program beside SCENE, and return what it prints as JSON.

    `hosts` are pairs of name and address.
    """
    (directory / "hosts").write_text("".join(f"{address} {name}\n" for name, address in hosts))
    (directory / "resolv.conf").write_text("nameserver 192.0.2.53\noptions timeout:30 attempts:5\n")
    inside = ["unshare", "--net", "--mount", "sh", "-euc", IN_NAMESPACE, "sh", directory]
    done = subprocess.run(
        [*inside, sys.executable, "-c", SCENE + textwrap.dedent(program)],
        cwd=REPOSITORY, env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE, timeout=60, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


PROBE = """
    from agent.edges import tcp
    results = tcp.probe(%r, bound=%r)
    print(json.dumps({host: [result.direct, result.addresses] for host, result in results.items()}))
    sys.stdout.flush()
    os._exit(0)  # a thread may still wait for the name server
"""


def test_only_hosts_that_accept_are_direct(tmp_path):
    """A refusal, a dropped SYN, a sinkhole and an unknown name are negative within one second.

    So is a name server that does not respond.
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
    names = sorted({name for name, _ in hosts} | {"never.test", "unknown.test", "late.test", "bad..name"})
    output = in_namespace(tmp_path, hosts, PROBE % (names, 1.0))
    assert [host for host in names if output[host][0]] == ["answers.test", "ipv6.test", "late.test", "one-of-two.test"]
    assert output["silent.test"][1] == ["192.0.2.3"]
    assert output["never.test"][1] == []


def test_probe_ends_when_all_results_are_there(tmp_path):
    """The bound is a limit and not a pause.

    A bound of ten minutes is not used up if each host has accepted or refused.
    """
    output = in_namespace(
        tmp_path, [("a.test", "192.0.2.1"), ("b.test", "192.0.2.2")], PROBE % (["a.test", "b.test"], 600)
    )
    assert (output["a.test"][0], output["b.test"][0]) == (True, False)


APPLY = """
    import contextlib
    from agent.edges import tcp
    from agent.node import inputs
    from agent.cli import main

    probed, probe = [], tcp.probe
    def record(hosts, **options):
        probed.append(sorted(hosts))
        return probe(hosts, **options)
    tcp.probe = record
    inputs.is_on_instance = lambda host, sources: True

    def apply(*flags):
        with contextlib.redirect_stdout(sys.stderr):
            assert main(%r + list(flags)) == 0
        with open(%r) as status:
            return {e["entry"]: e["reason"] for e in json.load(status)["no_proxy"]}

    runs = [apply()]
    for sock in accepting:
        sock.close()
    runs += [apply(), apply("--refresh")]
    print(json.dumps({"runs": runs, "probed": probed}))
    sys.stdout.flush()
    os._exit(0)
"""


def test_auto_adds_hosts_that_accept_and_probes_once(tmp_path):
    """Hosts that accept enter NO_PROXY, and stay there until --refresh although they go down.

    No other service enters.
    """
    node = Node(tmp_path / "node")
    pairs = ["aws.direct=auto", "cluster.endpoint_access=auto", f"cluster.endpoint=https://{API_SERVER}"]
    arguments = node.arguments("apply", *(word for pair in pairs for word in ("--set", pair)))
    hosts = [
        ("ec2." + REGION, "192.0.2.1"),
        ("s3." + REGION, "192.0.2.3"),
        ("s3." + REGION, "192.0.2.1"),
        ("api.ecr." + REGION, "192.0.2.2"),
        ("logs." + REGION, "192.0.2.3"),
        (API_SERVER, "10.0.7.1"),
    ]
    status = str(node.root / "run/eks-proxy-agent/status.json")
    output = in_namespace(tmp_path, hosts, APPLY % (arguments, status))
    first, second, refreshed = output["runs"]
    probed = {entry: reason for entry, reason in first.items() if reason.startswith(("direct:", "aws:"))}
    assert probed == {"ec2." + REGION: "direct:ec2", "s3." + REGION: "direct:s3"}
    assert first[API_SERVER] == "api-endpoint", "its address is in the VPC"
    assert second == first
    assert not [reason for reason in refreshed.values() if reason.startswith("direct:")]
    assert len(output["probed"]) == 2, "the second run probes nothing"
    assert output["probed"][0] == output["probed"][1]
