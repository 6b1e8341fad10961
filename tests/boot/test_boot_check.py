"""`check` on a node that boots: healthy all is ok; injured in one way, it names that and nothing
else, until it is healed.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.boot.harness import case, proxies
from tests.boot.harness.bed import Bed, Trial
from tests.boot.harness.namespace import METADATA
from tests.boot.harness.node import Running
from tests.boot.harness.proxies import Proxies
from tests.boot.harness.services import Listener

#: One node for all of them, so one worker of pytest-xdist.
pytestmark = pytest.mark.xdist_group("check")

DROP_IN = "/etc/systemd/system/docker.service.d/90-eks-proxy.conf"
FREEZE = "systemctl kill --signal=STOP eks-proxy-agent"  # else it repairs what the test breaks
THAW = "systemctl kill --signal=CONT eks-proxy-agent"
RESTART_ALL = "systemctl restart docker containerd kubelet"


class Ward:
    """A booted node that is hurt and healed."""

    def __init__(self, trial: Trial, running: Running) -> None:
        """Take a node that has come to rest."""
        self.trial = trial
        self.running = running

    def do(self, script: str) -> str:
        """Run a script in the node; `{NAME}` is the address of that proxy."""
        addresses = {name: value for name, value in vars(proxies).items() if name.isupper() and isinstance(value, str)}
        for name, value in addresses.items():
            script = script.replace(f"{{{name}}}", value)
        return self.running.run("sh", "-euc", script)

    def check(self, *flags: str) -> dict[str, Any]:
        """Run `check --json`; return what it prints, and its exit code as `code`."""
        words = shlex.join(["eks-proxy-agent", "check", "--json", *flags])
        said, _, code = self.running.run("sh", "-c", f"{words}; echo $?").rstrip("\n").rpartition("\n")
        return {**json.loads(said), "code": int(code)}

    def instance(self, **values: Any) -> None:
        """Change what the metadata service says; it reads its file again."""
        path = max(self.trial.node.directory.glob("metadata-*/instance.json"), key=lambda path: path.stat().st_mtime_ns)
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def states(found: dict[str, Any], *wanted: str) -> list[str]:
    """`GROUP NAME` of the findings in those states."""
    return [f"{one['group']} {one['name']}" for one in found["findings"] if one["state"] in wanted]


@pytest.fixture(scope="module")
def ward(bed: Bed) -> Iterator[Ward]:
    """One boot for all tests of this file."""
    made = Proxies(bed.namespace, bed.session.work / "check")
    trial = bed.trial(case.load("check"))
    try:
        (trial.root / "etc/world-ca.pem").write_text(made.world.certificate.read_text())
        running = trial.start(hold=True, limit=900)
        running.wait_settled()
        yield Ward(trial, running)
        trial.finish(running)
    finally:
        trial.close()
        made.stop()


def test_a_healthy_node_is_all_ok(ward: Ward) -> None:
    """Every group looks at something, and every line is ok, while the daemon runs; the exit code is
    0.
    """
    found = ward.check()
    assert (found["schema"], found["state"]) == (1, "ok")
    assert states(found, "warn", "fail", "skip") == []
    assert {one["group"] for one in found["findings"]} == {
        "settings", "metadata", "files", "units", "processes", "proxy", "direct", "no-proxy", "packages", "clock",
    }  # fmt: skip
    processes = [one["name"] for one in found["findings"] if one["group"] == "processes"]
    assert processes == ["docker.service", "containerd.service", "kubelet.service"]
    services = "eks, api.ecr, 111122223333.dkr.ecr, s3, sts, ec2, cloudformation (.eu-west-1.amazonaws.com)"
    assert services in proxy_line(found)
    assert found["code"] == 0


def proxy_line(found: dict[str, Any]) -> str:
    """The evidence of the group proxy."""
    (text,) = [one["text"] for one in found["findings"] if one["group"] == "proxy"]
    return str(text)


def test_what_dnf_uses_is_what_dnf_says(ward: Ward) -> None:
    """The proxy that check reads out of dnf.conf is the one that dnf's own library comes to."""
    script = "import dnf; base = dnf.Base(); base.conf.read(); print(base.conf.proxy)"
    (said,) = [one["text"] for one in ward.check("--only", "packages")["findings"]]
    assert said == "dnf uses " + ward.running.run("/usr/bin/python3", "-c", script).strip()


@dataclass(frozen=True)
class Injury:
    """What is done to the node, what check must name and say, and how it is healed."""

    hurt: str
    fails: str
    says: str
    heal: str
    exit_code: int = 1


def hosts(old: str, new: str) -> str:
    """A change of the node's /etc/hosts, which is a file that others hold open."""
    return f"sed 's/{old}/{new}/' /etc/hosts > /run/hosts; cat /run/hosts > /etc/hosts"


def behind(name: str) -> str:
    """The node's proxy becomes another one, with the same name."""
    return hosts("^.* proxy.example.test$", f"{{{name}}} proxy.example.test")


#: A name server that takes every question.
DEAF = 'import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("127.0.0.53", 53)); time.sleep(600)'
PROXY = "proxy http://proxy.example.test:3128"
AT_HOME = behind("HEALTHY")
INJURIES = {
    "proxy down": Injury(behind("DOWN"), PROXY, "Connection refused", AT_HOME),
    "name unknown": Injury(
        hosts("proxy.example.test", "proxy.gone.test"),
        PROXY,
        "the name proxy.example.test does not resolve",
        hosts("proxy.gone.test", "proxy.example.test"),
    ),
    "DNS that never answers": Injury(
        f"systemd-run --quiet --unit=deaf python3 -c '{DEAF}'; "
        "cp /etc/resolv.conf /run/kept; echo nameserver 127.0.0.53 > /etc/resolv.conf; "
        + hosts("proxy.example.test", "proxy.gone.test"),
        PROXY,
        "its name was not resolved",
        hosts("proxy.gone.test", "proxy.example.test") + "; cat /run/kept > /etc/resolv.conf; systemctl stop deaf",
    ),
    "403": Injury(behind("FORBIDS"), PROXY, "403", AT_HOME),
    "407": Injury(behind("ASKS"), PROXY, "proxy.credentials_file is not set", AT_HOME),
    "TLS interception, untrusted": Injury(behind("INSPECTS"), PROXY, "Corp Proxy CA", AT_HOME),
    "proxy that never answers": Injury(behind("MUTE"), PROXY, "no whole answer to CONNECT came", AT_HOME),
    "drop-in not loaded": Injury(
        f"{FREEZE}; mv {DROP_IN} /run/kept; systemctl daemon-reload; mv /run/kept {DROP_IN}",
        "units docker.service",
        "systemd has not loaded it",
        f"systemctl daemon-reload; {THAW}",
    ),
    "docker started before the change": Injury(
        f"{FREEZE}; sed -i s/artifacts/more.artifacts/ /etc/eks-proxy-agent/config.toml; eks-proxy-agent apply;"
        " systemctl restart containerd kubelet",
        "processes docker.service",
        "no_proxy lacks more.artifacts.corp.example and has artifacts.corp.example too",
        f"sed -i s/more.artifacts/artifacts/ /etc/eks-proxy-agent/config.toml; eks-proxy-agent apply; {RESTART_ALL}; {THAW}",
    ),
    "docker older than the proxy's CA": Injury(
        f"{FREEZE}; cp /etc/world-ca.pem /run/kept; cat /run/kept >> /etc/world-ca.pem; eks-proxy-agent apply;"
        " systemctl restart containerd kubelet",
        "processes docker.service",
        "is older than the proxy's CA in the trust store",
        f"cp /run/kept /etc/world-ca.pem; eks-proxy-agent apply; {RESTART_ALL}; {THAW}",
    ),
    "/etc/environment edited by hand": Injury(
        f"{FREEZE}; cp -p /etc/environment /run/kept; sed -i s/3128/8080/ /etc/environment",
        "files /etc/environment",
        "-http_proxy=http://proxy.example.test:8080\n",
        f"cp -p /run/kept /etc/environment; {THAW}",
        exit_code=3,
    ),
    "a later EnvironmentFile= of kubelet": Injury(
        "echo HTTPS_PROXY=http://other.example.test:1 > /etc/kubelet.env;"
        " printf '[Service]\\nEnvironmentFile=/etc/kubelet.env\\n' > /etc/systemd/system/kubelet.service.d/95-other.conf;"
        " systemctl daemon-reload; systemctl restart kubelet",
        "units kubelet.service",
        "EnvironmentFile=/etc/kubelet.env of /etc/systemd/system/kubelet.service.d/95-other.conf is read after ours and"
        " sets HTTPS_PROXY otherwise",
        "rm /etc/systemd/system/kubelet.service.d/95-other.conf; systemctl daemon-reload; systemctl restart kubelet",
    ),
    "yum.conf, a file instead of the link": Injury(
        f"{FREEZE}; cp --remove-destination /etc/dnf/dnf.conf /etc/yum.conf",
        "packages /etc/yum.conf",
        "is a file of its own and no link any more",
        f"ln -sfn dnf/dnf.conf /etc/yum.conf; {THAW}",
    ),
    "a drop-in that takes ours back": Injury(
        "printf '[Service]\\nEnvironmentFile=\\n' > /etc/systemd/system/docker.service.d/99-other.conf; systemctl daemon-reload",
        "units docker.service",
        "but /etc/systemd/system/docker.service.d/99-other.conf takes its EnvironmentFile= back",
        "rm /etc/systemd/system/docker.service.d/99-other.conf; systemctl daemon-reload",
    ),
    "agent disabled": Injury(
        "systemctl disable eks-proxy-agent",
        "units eks-proxy-agent.service",
        "at the next boot nobody configures this node",
        "systemctl enable eks-proxy-agent",
    ),
    "docker disabled": Injury(
        f"{FREEZE}; systemctl disable docker",
        "units docker.service",
        "is disabled, and node.enable names it",
        f"systemctl enable docker; {THAW}",
    ),
    "API server gone": Injury(
        hosts("^10.0.7.1 ", "10.0.7.9 "),
        "direct api-endpoint",
        "10.0.7.9 accepts no connection on port 443",
        hosts("^10.0.7.9 ", "10.0.7.1 "),
    ),
    "clock of another hour": Injury(behind("LATE"), "clock skew", "s ahead of http://proxy.example.test:3128", AT_HOME),
}


@pytest.mark.parametrize("name", INJURIES)
def test_an_injury_is_named_and_nothing_else(ward: Ward, name: str) -> None:
    """One finding fails, which names the thing, shows the evidence and knows a way out; healed, all
    is ok again.
    """
    injury = INJURIES[name]
    ward.do(injury.hurt)
    try:
        found = ward.check()
    finally:
        ward.do(injury.heal)
    assert states(found, "fail") == [injury.fails]
    assert states(found, "warn") == []
    (failed,) = [one for one in found["findings"] if one["state"] == "fail"]
    assert injury.says in failed["text"]
    assert failed["hint"]
    assert found["code"] == injury.exit_code
    assert states(ward.check(), "warn", "fail", "skip") == []


def test_a_cidr_that_the_vpc_got_since_is_named(ward: Ward) -> None:
    """Files and processes are as the last pass made them; it is NO_PROXY that lacks a network, for
    Go.
    """
    ward.instance(vpc_cidrs_v4=["10.0.0.0/16", "100.64.0.0/16", "10.9.0.0/16"])
    try:
        found = ward.check()
    finally:
        ward.instance(vpc_cidrs_v4=["10.0.0.0/16", "100.64.0.0/16"])
    assert states(found, "warn", "fail") == ["no-proxy vpc"]
    (failed,) = [one for one in found["findings"] if one["state"] == "fail"]
    assert failed["text"].startswith("10.9.0.0/16 is missing: through the proxy for Go")
    assert "eks-proxy-agent apply" in failed["hint"]


def test_without_metadata_the_rest_is_looked_at_all_the_same(ward: Ward) -> None:
    """The facts of the last pass do for everything else."""
    ward.trial.stop_serving()
    try:
        found = ward.check()
    finally:
        ward.trial.serve()
    assert states(found, "warn", "fail", "skip") == ["metadata service"]


def test_a_node_on_which_everything_hangs_is_told_in_the_end(ward: Ward) -> None:
    """Neither a silent metadata service nor a mute proxy nor a frozen daemon holds up the answer
    for ever.
    """
    ward.do(f"{FREEZE}; {behind('MUTE')}")
    ward.trial.stop_serving()
    silent = Listener(ward.trial.bed.namespace, ward.trial.node.directory / "silent", METADATA, 80, silent=True)
    try:
        found = ward.check()
    finally:
        silent.stop()
        ward.trial.serve()
        ward.do(f"{AT_HOME}; {THAW}")
    assert states(found, "fail") == ["metadata service", PROXY]


def test_wrong_settings_are_told_before_they_are_applied(ward: Ward) -> None:
    """A mistake in config.toml is named with its line, the node goes on as it is; exit code 78."""
    config = "/etc/eks-proxy-agent/config.toml"
    ward.do(
        f"{FREEZE}; cp -p {config} /run/kept; echo 'bad = 1' >> {config}"
    )  # else its failed pass is told to the next test
    try:
        found = ward.check()
    finally:
        ward.do(f"cp -p /run/kept {config}; {THAW}")
    assert (states(found, "fail"), found["code"]) == (["settings layers"], 78)
    assert "node.bad is unknown" in json.dumps(found)


def test_who_is_not_root_fails_nothing(ward: Ward) -> None:
    """What the last pass told everybody is enough for the most; the rest says that it needs
    root.
    """
    out = ward.do("setpriv --reuid=65534 --regid=65534 --clear-groups eks-proxy-agent check --json 2>/dev/null")
    found = json.loads(out)
    assert states(found, "warn", "fail") == []
    skipped = [one for one in found["findings"] if one["state"] == "skip"]
    assert {one["text"] for one in skipped} == {"needs root"}
    assert {one["group"] for one in skipped} == {"files", "processes"}


def test_a_public_api_server_is_tried_through_the_proxy(ward: Ward) -> None:
    """It is no endpoint of AWS's own, and its certificate is the cluster's: a tunnel is enough."""
    found = ward.check("--only", "proxy", "--set", "cluster.endpoint_access=public")
    assert states(found, "ok") == [PROXY, PROXY]
    assert found["findings"][1]["text"].endswith(proxies.API_NAME)


def test_a_spare_proxy_that_is_down_is_a_warning(ward: Ward) -> None:
    """The one that is used decides."""
    spare = f"http://{proxies.DOWN}:3128"
    found = ward.check("--only", "proxy", "--set", f'proxy.url=["http://proxy.example.test:3128", "{spare}"]')
    assert (states(found, "ok"), states(found, "warn", "fail")) == ([PROXY], [f"proxy {spare}"])


def test_a_proxy_of_its_own_for_http_is_looked_at_too(ward: Ward) -> None:
    """Both are used, so both have to work."""
    found = ward.check("--only", "proxy", "--set", f"proxy.https_url=http://{proxies.FORBIDS}:3128")
    assert (states(found, "fail"), states(found, "ok")) == ([f"proxy http://{proxies.FORBIDS}:3128"], [PROXY])


@pytest.mark.parametrize(
    ("name", "state"), [("HEALTHY", "ok"), ("DOWN", "fail"), ("ASKS", "fail"), ("FORBIDS", "skip")]
)
def test_a_proxy_that_carries_nothing_of_aws_has_to_be_alive(ward: Ward, name: str, state: str) -> None:
    """All endpoints are direct, as they are behind a NAT gateway; it may refuse them, but what else
    needs it must not find it dead.
    """
    services = 'aws.direct=["cloudformation", "ec2", "ecr", "eks", "s3", "sts"]'
    ward.do(behind(name))
    try:
        found = ward.check("--only", "proxy", "--set", services)
    finally:
        ward.do(AT_HOME)
    assert [f"{one['group']} {one['name']} {one['state']}" for one in found["findings"]] == [f"{PROXY} {state}"]


def test_an_endpoint_that_the_policy_forbids_is_named_alone(ward: Ward) -> None:
    """Where others pass, it is not the proxy that ails."""
    endpoints = f'check.endpoints=["{proxies.NAMES[0]}:443", "{proxies.NAMES[1]}:8443"]'
    found = ward.check("--only", "proxy", "--set", endpoints)
    (failed,) = [one for one in found["findings"] if one["state"] == "fail"]
    assert len(states(found, "ok")) == 1
    assert f"{proxies.NAMES[1]}:8443" in failed["text"]


def test_a_service_without_its_endpoint_is_a_black_hole(ward: Ward) -> None:
    """It is in NO_PROXY, and nothing answers: none of its names."""
    found = ward.check("--only", "direct", "--set", 'aws.direct=["s3"]')
    assert (states(found, "ok"), states(found, "fail")) == (["direct api-endpoint"], ["direct aws:s3"])
    assert "or take s3 out of aws.direct" in found["findings"][1]["hint"]
