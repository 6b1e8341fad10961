"""`check` on a booted node: all is ok, and each fault is the only failure until it is repaired."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests import json_schemas, troubleshooting
from tests.boot.harness import case, page, proxies
from tests.boot.harness.bed import Bed, Trial
from tests.boot.harness.namespace import METADATA
from tests.boot.harness.node import Running
from tests.boot.harness.proxies import Proxies
from tests.boot.harness.services import Listener

#: One node for all of them, so one worker of pytest-xdist.
pytestmark = pytest.mark.xdist_group("check")

DIRECTORY = "/etc/systemd/system/docker.service.d"
DROP_IN = f"{DIRECTORY}/zz-eks-proxy.conf"
CONTAINERD = "/etc/systemd/system/containerd.service.d/zz-eks-proxy.conf"
CLOUDWATCH = "/opt/aws/amazon-cloudwatch-agent/etc"
#: Otherwise the daemon repairs what the test breaks.  With the lock held, so that no frozen worker
#: has it; and without a worker, because a request that was frozen fails as soon as it goes on.
FREEZE = """\
while pgrep --parent "$(systemctl show --property=MainPID --value eks-proxy-agent)" >/dev/null; do sleep 0.1; done
flock /var/lib/eks-proxy-agent systemctl kill --signal=STOP eks-proxy-agent"""
THAW = "systemctl kill --signal=CONT eks-proxy-agent"
RESTART_ALL = "systemctl restart docker containerd kubelet"


class BootedNode:
    """A booted node that tests break and repair."""

    def __init__(self, trial: Trial, running: Running) -> None:
        """Take a node that has settled."""
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
        output, _, code = self.running.run("sh", "-c", f"{words}; echo $?").rstrip("\n").rpartition("\n")
        assert json_schemas.problems("check", output) == []
        return {**json.loads(output), "code": int(code)}

    def difference(self, anchor: str) -> str:
        """Run the command of a section of docs/troubleshooting.md, and compare the output."""
        return page.difference(self.running, anchor)

    def pull(self) -> str:
        """Return the error of containerd's own client, with the environment of containerd.

        It reads /etc/hosts again, unlike containerd itself, which remembers it for five seconds.
        """
        script = "export $(tr '\\0' '\\n' < /proc/$(pgrep -x containerd)/environ | grep -i _proxy); ctr images pull"
        return self.running.run("sh", "-c", f"{script} {proxies.NAMES[2]}/app:1 2>&1", check=False)

    def instance(self, **values: Any) -> None:
        """Change what the metadata service returns; it reads its file again."""
        path = max(self.trial.node.directory.glob("metadata-*/instance.json"), key=lambda path: path.stat().st_mtime_ns)
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def named(result: dict[str, Any], *states: str) -> list[str]:
    """Return `GROUP NAME` of the findings in those states."""
    findings = result["findings"]
    return [f"{finding['group']} {finding['name']}" for finding in findings if finding["state"] in states]


def complaints(result: dict[str, Any], *states: str) -> list[str]:
    """Return the findings in those states, with their texts."""
    findings = result["findings"]
    return [f"{one['group']} {one['name']}: {one['text']}" for one in findings if one["state"] in states]


def failure(result: dict[str, Any]) -> dict[str, Any]:
    """Return the only failed finding."""
    (finding,) = [finding for finding in result["findings"] if finding["state"] == "fail"]
    return dict(finding)


@pytest.fixture(scope="module")
def node(bed: Bed) -> Iterator[BootedNode]:
    """Boot one node for all tests of this file."""
    servers = Proxies(bed.namespace, bed.session.work / "check")
    trial = bed.trial(case.load("check"))
    try:
        (trial.root / "etc/world-ca.pem").write_text(servers.world.certificate.read_text())
        running = trial.start(hold=True, limit=900)
        running.wait_settled()
        yield BootedNode(trial, running)
        trial.finish(running)
    finally:
        trial.close()
        servers.stop()


def test_a_healthy_node_is_ok(node: BootedNode) -> None:
    """While the daemon runs, every group has findings, all are ok, and the exit code is 0."""
    result = node.check()
    assert (result["schema"], result["state"]) == (1, "ok")
    assert complaints(result, "warn", "fail", "skip") == []
    assert {finding["group"] for finding in result["findings"]} == {
        "settings", "metadata", "files", "units", "processes", "proxy", "direct", "no-proxy", "packages", "elsewhere",
        "clock",
    }  # fmt: skip
    processes = [finding["name"] for finding in result["findings"] if finding["group"] == "processes"]
    assert processes == ["docker.service", "containerd.service", "kubelet.service"]
    services = "eks, api.ecr, 111122223333.dkr.ecr, s3, sts, ec2, cloudformation (.eu-west-1.amazonaws.com)"
    assert services in proxy_line(result)
    assert result["code"] == 0


def proxy_line(result: dict[str, Any]) -> str:
    """Return the text of the only finding of the group proxy."""
    (text,) = [finding["text"] for finding in result["findings"] if finding["group"] == "proxy"]
    return str(text)


def test_the_expiry_of_a_ca_is_in_its_file(node: BootedNode) -> None:
    """openssl prints the date of the certificate that node.ca_bundle names."""
    node.do("cp /etc/world-ca.pem /etc/corp-proxy-ca.pem")
    try:
        assert node.difference("proxy-ca-expires") == ""
    finally:
        node.do("rm /etc/corp-proxy-ca.pem")


def test_the_full_status_has_the_entries_by_reason(node: BootedNode) -> None:
    """A person compares these lines on two nodes whose hashes differ."""
    assert node.difference("nodes-differ") == ""


def test_proxy_in_dnf_conf_is_the_one_that_dnf_uses(node: BootedNode) -> None:
    """`check` reads the same proxy from dnf.conf as dnf's own library."""
    script = "import dnf; base = dnf.Base(); base.conf.read(); print(base.conf.proxy)"
    (text,) = [finding["text"] for finding in node.check("--only", "packages")["findings"]]
    assert text == "dnf uses " + node.running.run("/usr/bin/python3", "-c", script).strip()


@dataclass(frozen=True)
class Fault:
    """A script that breaks the node, the finding that must fail and its text, and the repair.

    `sections` of docs/troubleshooting.md show this node.  `message` is what containerd says when it
    pulls an image; one of the sections quotes it.
    """

    script: str
    finding: str
    text: str
    repair: str
    exit_code: int = 1
    sections: tuple[str, ...] = ()
    message: str = ""


def hosts(old: str, new: str) -> str:
    """Return a script that edits the node's /etc/hosts in place: other processes have it open."""
    return f"sed 's/{old}/{new}/' /etc/hosts > /run/hosts; cat /run/hosts > /etc/hosts"


def behind(name: str) -> str:
    """Return a script that resolves the name of the node's proxy to another proxy."""
    return hosts("^.* proxy.example.test$", f"{{{name}}} proxy.example.test")


#: A name server that receives every query and never responds.
DEAF = 'import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("127.0.0.53", 53)); time.sleep(600)'
OLD = "http://old.example.test:1"
OPEN, CLOSE = "{", "}"
PROXY = "proxy http://proxy.example.test:3128"
HEALTHY = behind("HEALTHY")
FAULTS = {
    "proxy down": Fault(
        behind("DOWN"),
        PROXY,
        "Connection refused",
        HEALTHY,
        sections=("proxy-is-down",),
        message="proxyconnect tcp: dial tcp",
    ),
    "name unknown": Fault(
        hosts("proxy.example.test", "proxy.gone.test"),
        PROXY,
        "cannot resolve proxy.example.test: ",
        hosts("proxy.gone.test", "proxy.example.test"),
    ),
    "DNS that never responds": Fault(
        f"systemd-run --quiet --unit=deaf python3 -c '{DEAF}'; "
        "cp /etc/resolv.conf /run/kept; echo nameserver 127.0.0.53 > /etc/resolv.conf; "
        + hosts("proxy.example.test", "proxy.gone.test"),
        PROXY,
        "name resolution timed out after",
        hosts("proxy.gone.test", "proxy.example.test") + "; cat /run/kept > /etc/resolv.conf; systemctl stop deaf",
    ),
    "403": Fault(
        behind("FORBIDS"), PROXY, "403", HEALTHY, sections=("proxy-denies-a-destination",), message="Forbidden"
    ),
    "407": Fault(
        behind("ASKS"),
        PROXY,
        "no credentials are set",
        HEALTHY,
        sections=("407-proxy-authentication-required",),
        message="Proxy Authentication Required",
    ),
    "TLS interception, untrusted": Fault(
        behind("INSPECTS"),
        PROXY,
        "Corp Proxy CA",
        HEALTHY,
        sections=("x509-unknown-authority",),
        message="x509: certificate signed by unknown authority",
    ),
    "proxy that never responds": Fault(
        behind("MUTE"),
        PROXY,
        "the response to CONNECT timed out after",
        HEALTHY,
        sections=("nodeadm-config-times-out",),
    ),
    "drop-in not loaded": Fault(
        f"{FREEZE}; mv {DROP_IN} /run/kept; systemctl daemon-reload; mv /run/kept {DROP_IN}",
        "units docker.service",
        "systemd has not loaded it",
        f"systemctl daemon-reload; {THAW}",
        sections=("drop-in-not-in-force",),
    ),
    "containerd started without the proxy": Fault(
        f"{FREEZE}; mv {CONTAINERD} /run/kept; systemctl daemon-reload; systemctl restart containerd;"
        f" mv /run/kept {CONTAINERD}; systemctl daemon-reload",
        "processes containerd.service",
        "has an old environment: http_proxy is not set; https_proxy is not set; no_proxy is not set",
        f"systemctl restart containerd; {THAW}",
        sections=("imagepullbackoff", "node-joins-without-the-proxy"),
        message="dial tcp: lookup",
    ),
    "docker started before the change": Fault(
        f"{FREEZE}; sed -i s/artifacts/more.artifacts/ /etc/eks-proxy-agent/config.toml; eks-proxy-agent apply;"
        " systemctl restart containerd kubelet",
        "processes docker.service",
        "no_proxy lacks more.artifacts.corp.example and has unexpected artifacts.corp.example",
        f"sed -i s/more.artifacts/artifacts/ /etc/eks-proxy-agent/config.toml; eks-proxy-agent apply; {RESTART_ALL}; {THAW}",
        sections=("old-environment",),
    ),
    "docker older than the proxy's CA": Fault(
        f"{FREEZE}; cp /etc/world-ca.pem /run/kept; cat /run/kept >> /etc/world-ca.pem; eks-proxy-agent apply;"
        " systemctl restart containerd kubelet",
        "processes docker.service",
        "started before the proxy's CA changed in the trust store",
        f"cp /run/kept /etc/world-ca.pem; eks-proxy-agent apply; {RESTART_ALL}; {THAW}",
    ),
    "/etc/environment edited by hand": Fault(
        f"{FREEZE}; cp -p /etc/environment /run/kept; sed -i s/3128/8080/ /etc/environment",
        "files /etc/environment",
        "-http_proxy=http://proxy.example.test:8080\n",
        f"cp -p /run/kept /etc/environment; {THAW}",
        exit_code=3,
        sections=("files-differ",),
    ),
    "a quote in /etc/environment that is not closed": Fault(
        f"{FREEZE}; cp -p /etc/environment /run/kept; sed -i '1iJAVA_OPTS=\"-Dx=1' /etc/environment",
        "files /etc/environment",
        "line 1: the quote of its value is not closed",
        f"cp -p /run/kept /etc/environment; {THAW}",
    ),
    "an invalid byte in a value of /etc/environment": Fault(
        f"{FREEZE}; cp -p /etc/environment /run/kept; sed -i '1iTEAM=\\xfc' /etc/environment",
        "files /etc/environment",
        "line 1: ",
        f"cp -p /run/kept /etc/environment; {THAW}",
    ),
    "a drop-in of the shell recipe": Fault(
        f"{FREEZE}; printf '[Service]\nEnvironmentFile=/etc/environment\n' > {DIRECTORY}/http-proxy.conf;"
        " systemctl daemon-reload",
        "files /etc/systemd/system/docker.service.d/http-proxy.conf",
        "-EnvironmentFile=/etc/environment",
        f"rm {DIRECTORY}/http-proxy.conf; systemctl daemon-reload; {THAW}",
        exit_code=3,
    ),
    "a user of an earlier proxy in dnf.conf": Fault(
        f"{FREEZE}; cp -p /etc/dnf/dnf.conf /run/kept;"
        " sed -i 's/^proxy=.*/&\\nproxy_username=u\\nproxy_password=p/' /etc/dnf/dnf.conf",
        "files /etc/dnf/dnf.conf",
        "-proxy_username=u\n-proxy_password=***\n",
        f"cp -p /run/kept /etc/dnf/dnf.conf; {THAW}",
        exit_code=3,
    ),
    "proxies in daemon.json": Fault(
        "cp -p /etc/docker/daemon.json /run/kept;"
        f""" sed -i '1s|.*|{OPEN}"proxies": {OPEN}"https-proxy": "{OLD}"{CLOSE},|' /etc/docker/daemon.json""",
        "elsewhere /etc/docker/daemon.json",
        f'"proxies" sets HTTPS_PROXY to {OLD} for docker (23 and later)',
        "cp -p /run/kept /etc/docker/daemon.json",
        sections=("another-place-sets-a-proxy",),
    ),
    "a later EnvironmentFile= of kubelet": Fault(
        "echo HTTPS_PROXY=http://other.example.test:1 > /etc/kubelet.env;"
        " printf '[Service]\\nEnvironmentFile=/etc/kubelet.env\\n' > /etc/systemd/system/kubelet.service.d/zzz-other.conf;"
        " systemctl daemon-reload; systemctl restart kubelet",
        "units kubelet.service",
        "EnvironmentFile=/etc/kubelet.env of /etc/systemd/system/kubelet.service.d/zzz-other.conf overrides HTTPS_PROXY",
        "rm /etc/systemd/system/kubelet.service.d/zzz-other.conf; systemctl daemon-reload; systemctl restart kubelet",
    ),
    "yum.conf, a file instead of the link": Fault(
        f"{FREEZE}; cp --remove-destination /etc/dnf/dnf.conf /etc/yum.conf",
        "packages /etc/yum.conf",
        "not a link to /etc/dnf/dnf.conf any more",
        f"ln -sfn dnf/dnf.conf /etc/yum.conf; {THAW}",
        sections=("dnf-hangs",),
    ),
    "a drop-in that removes a variable": Fault(
        f"printf '[Service]\nUnsetEnvironment=https_proxy\n' > {DIRECTORY}/override.conf; systemctl daemon-reload",
        "units docker.service",
        "https_proxy",
        f"rm {DIRECTORY}/override.conf; systemctl daemon-reload",
    ),
    "dockerd with --https-proxy": Fault(
        f"printf '[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd --https-proxy={OLD}\n' > {DIRECTORY}/override.conf;"
        " systemctl daemon-reload",
        f"elsewhere {DIRECTORY}/override.conf",
        f"--https-proxy in ExecStart= sets HTTPS_PROXY to {OLD} for docker (23 and later)",
        f"rm {DIRECTORY}/override.conf; systemctl daemon-reload",
    ),
    "a proxy of the CloudWatch agent's own": Fault(
        f"mkdir -p {CLOUDWATCH}; printf '[proxy]\nhttps_proxy = \"{OLD}\"\n' > {CLOUDWATCH}/common-config.toml",
        f"elsewhere {CLOUDWATCH}/common-config.toml",
        f"[proxy] sets HTTPS_PROXY to {OLD} for the CloudWatch agent",
        f"rm {CLOUDWATCH}/common-config.toml",
    ),
    "a drop-in that resets ours": Fault(
        "printf '[Service]\\nEnvironmentFile=\\n' > /etc/systemd/system/docker.service.d/zzz-other.conf; systemctl daemon-reload",
        "units docker.service",
        "but /etc/systemd/system/docker.service.d/zzz-other.conf resets EnvironmentFile=",
        "rm /etc/systemd/system/docker.service.d/zzz-other.conf; systemctl daemon-reload",
    ),
    "agent disabled": Fault(
        "systemctl disable eks-proxy-agent",
        "units eks-proxy-agent.service",
        "disabled; the next boot does not configure this node",
        "systemctl enable eks-proxy-agent",
    ),
    "docker disabled": Fault(
        f"{FREEZE}; systemctl disable docker",
        "units docker.service",
        'disabled; node.enable = "auto": docker.service is enabled',
        f"systemctl enable docker; {THAW}",
    ),
    "API server gone": Fault(
        hosts("^10.0.7.1 ", "10.0.7.9 "),
        "direct api-endpoint",
        "no connection to 10.0.7.9 on port 443",
        hosts("^10.0.7.9 ", "10.0.7.1 "),
        sections=("direct-destination-unreachable",),
    ),
    "clock one hour off": Fault(
        behind("LATE"),
        "clock skew",
        "s ahead of http://proxy.example.test:3128",
        HEALTHY,
        sections=("clock-skew",),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_the_only_failure(node: BootedNode, name: str) -> None:
    """One finding fails, with evidence and a hint; after the repair all is ok again.

    The sections of docs/troubleshooting.md show what their command prints on such a node.
    """
    fault = FAULTS[name]
    try:
        node.do(fault.script)
        result = node.check()
        differences = [node.difference(anchor) for anchor in fault.sections]
        message = node.pull() if fault.message else ""
    finally:
        node.do(fault.repair)
    assert named(result, "fail") == [fault.finding]
    assert complaints(result, "warn") == []
    assert fault.text in failure(result)["text"]
    assert failure(result)["hint"]
    assert failure(result)["runbook"] in troubleshooting.sections()
    assert result["code"] == fault.exit_code
    assert "".join(differences) == ""
    assert fault.message in message
    assert fault.message in "".join(troubleshooting.sections()[anchor] for anchor in fault.sections)
    assert complaints(node.check(), "warn", "fail", "skip") == []


def test_any_byte_in_a_comment_is_no_fault(node: BootedNode) -> None:
    """A comment in Latin-1 above the agent's lines of /etc/environment changes nothing."""
    node.do(f"{FREEZE}; cp -p /etc/environment /run/kept; sed -i '1i# Pr\\xfcfstand' /etc/environment")
    try:
        result = node.check()
    finally:
        node.do(f"cp -p /run/kept /etc/environment; {THAW}")
    assert (named(result, "warn", "fail", "skip"), result["code"]) == ([], 0)


@dataclass(frozen=True)
class Leftover:
    """A file that others left, its content, and the text of the warning."""

    path: str
    content: str
    group: str
    text: str


LEFTOVERS = {
    "DefaultEnvironment": Leftover(
        "/etc/systemd/system.conf.d/DefaultEnvironment.conf",
        f'[Manager]\nDefaultEnvironment="HTTPS_PROXY={OLD}"\n',
        "elsewhere",
        f"DefaultEnvironment= sets HTTPS_PROXY to {OLD} for all units outside node.units",
    ),
    "wgetrc": Leftover("/etc/wgetrc", f"https_proxy = {OLD}\n", "elsewhere", f"sets https_proxy to {OLD} for wget"),
    "environment of docker's package": Leftover(
        "/etc/sysconfig/docker",
        f"HTTPS_PROXY={OLD}\n",
        "elsewhere",
        f"sets HTTPS_PROXY to {OLD} for docker where its unit has no drop-in of the agent",
    ),
    "profile.d": Leftover(
        "/etc/profile.d/proxy.sh",
        f"export https_proxy={OLD}\n",
        "elsewhere",
        f"sets https_proxy to {OLD} for login shells",
    ),
    "a repository that NO_PROXY exempts": Leftover(
        "/etc/yum.repos.d/local.repo",
        "[local]\nname=local\nbaseurl=https://repo.artifacts.corp.example/\n",
        "packages",
        "dnf uses the proxy for [local] (repo.artifacts.corp.example) if its environment lacks NO_PROXY",
    ),
}


@pytest.mark.parametrize("name", LEFTOVERS)
def test_a_leftover_is_the_only_warning(node: BootedNode, name: str) -> None:
    """Other programs than the units of node.units may not reach what they need."""
    leftover = LEFTOVERS[name]
    directory = leftover.path.rpartition("/")[0]
    node.do(f"mkdir -p {directory}; printf %s {shlex.quote(leftover.content)} > {leftover.path}")
    try:
        result = node.check()
    finally:
        node.do(f"rm {leftover.path}")
    assert (named(result, "warn"), named(result, "fail")) == ([f"{leftover.group} {leftover.path}"], [])
    (text,) = [finding["text"] for finding in result["findings"] if finding["state"] == "warn"]
    assert leftover.text in text
    assert result["code"] == 0


def test_a_cidr_added_to_the_vpc_is_a_failure_of_no_proxy(node: BootedNode) -> None:
    """Files and processes are as the last reconcile left them, so only the group no-proxy fails."""
    node.do(FREEZE)
    node.instance(vpc_cidrs_v4=["10.0.0.0/16", "100.64.0.0/16", "10.9.0.0/16"])
    try:
        result = node.check()
        difference = node.difference("no_proxy-lacks-an-entry")
    finally:
        node.instance(vpc_cidrs_v4=["10.0.0.0/16", "100.64.0.0/16"])
        node.do(THAW)
    assert named(result, "warn", "fail") == ["no-proxy vpc"]
    assert failure(result)["text"].startswith("10.9.0.0/16 is missing: through the proxy for Go")
    assert "eks-proxy-agent apply" in failure(result)["hint"]
    assert difference == ""


def test_without_the_metadata_service_the_other_groups_are_ok(node: BootedNode) -> None:
    """They use the facts of the last reconcile."""
    node.do(FREEZE)
    node.trial.stop_serving()
    try:
        result = node.check()
        difference = node.difference("metadata-service-fails")
    finally:
        node.trial.serve()
        node.do(THAW)
    assert named(result, "warn", "fail", "skip") == ["metadata service"]
    assert difference == ""


def test_check_ends_on_a_node_on_which_everything_hangs(node: BootedNode) -> None:
    """A metadata service and a proxy that do not respond and a frozen daemon do not block it."""
    node.do(f"{FREEZE}; {behind('MUTE')}")
    node.trial.stop_serving()
    silent = Listener(node.trial.bed.namespace, node.trial.node.directory / "silent", METADATA, 80, silent=True)
    try:
        result = node.check()
    finally:
        silent.stop()
        node.trial.serve()
        node.do(f"{HEALTHY}; {THAW}")
    assert named(result, "fail") == ["metadata service", PROXY]


def test_invalid_settings_are_a_failure_before_they_are_applied(node: BootedNode) -> None:
    """The invalid key of config.toml is named, nothing else fails, and the exit code is 78."""
    config = "/etc/eks-proxy-agent/config.toml"
    # Without FREEZE the daemon's failed reconcile would be a finding of the next test.
    node.do(f"{FREEZE}; cp -p {config} /run/kept; echo 'bad = 1' >> {config}")
    try:
        result = node.check()
        difference = node.difference("settings-are-invalid")
    finally:
        node.do(f"cp -p /run/kept {config}; {THAW}")
    assert (named(result, "fail"), result["code"]) == (["settings layers"], 78)
    assert "node.bad: unknown key" in json.dumps(result)
    assert difference == ""


def test_without_root_nothing_fails(node: BootedNode) -> None:
    """status.json is enough for most groups; files and processes require root."""
    out = node.do("setpriv --reuid=65534 --regid=65534 --clear-groups eks-proxy-agent check --json 2>/dev/null")
    result = json.loads(out)
    assert complaints(result, "warn", "fail") == []
    skipped = [finding for finding in result["findings"] if finding["state"] == "skip"]
    assert {finding["text"] for finding in skipped} == {"requires root"}
    assert {finding["group"] for finding in skipped} == {"files", "processes"}


def test_a_public_api_server_is_requested_through_the_proxy(node: BootedNode) -> None:
    """A tunnel is enough, without TLS: the cluster's own CA issued its certificate."""
    result = node.check("--only", "proxy", "--set", "cluster.endpoint_access=public")
    assert named(result, "ok") == [PROXY, PROXY]
    assert result["findings"][1]["text"].endswith(proxies.API_NAME)


def test_a_spare_proxy_that_is_down_is_a_warning(node: BootedNode) -> None:
    """Only the proxy in use can fail."""
    spare = f"http://{proxies.DOWN}:3128"
    result = node.check("--only", "proxy", "--set", f'proxy.url=["http://proxy.example.test:3128", "{spare}"]')
    assert (named(result, "ok"), named(result, "warn", "fail")) == ([PROXY], [f"proxy {spare}"])


def test_separate_proxies_for_http_and_https_are_both_checked(node: BootedNode) -> None:
    """Both are in use, so both have to work."""
    result = node.check("--only", "proxy", "--set", f"proxy.https_url=http://{proxies.FORBIDS}:3128")
    assert (named(result, "fail"), named(result, "ok")) == ([f"proxy http://{proxies.FORBIDS}:3128"], [PROXY])


@pytest.mark.parametrize(
    ("name", "state"), [("HEALTHY", "ok"), ("DOWN", "fail"), ("ASKS", "fail"), ("FORBIDS", "skip")]
)
def test_a_proxy_that_no_aws_endpoint_requires_must_be_up(node: BootedNode, name: str, state: str) -> None:
    """If all endpoints are direct, as behind a NAT gateway, the proxy may refuse them.

    It must be up, because other requests go through it.
    """
    services = 'aws.direct=["cloudformation", "ec2", "ecr", "eks", "s3", "sts"]'
    node.do(behind(name))
    try:
        result = node.check("--only", "proxy", "--set", services)
    finally:
        node.do(HEALTHY)
    assert named(result, state) == [PROXY]
    assert len(result["findings"]) == 1


def test_an_endpoint_that_the_policy_forbids_is_a_separate_failure(node: BootedNode) -> None:
    """The other endpoints are ok, so the finding names this one."""
    endpoints = f'check.endpoints=["{proxies.NAMES[0]}:443", "{proxies.NAMES[1]}:8443"]'
    result = node.check("--only", "proxy", "--set", endpoints)
    assert len(named(result, "ok")) == 1
    assert f"{proxies.NAMES[1]}:8443" in failure(result)["text"]


def test_a_direct_service_without_an_endpoint_is_a_failure(node: BootedNode) -> None:
    """Its names are in NO_PROXY, but none of them is reachable."""
    result = node.check("--only", "direct", "--set", 'aws.direct=["s3"]')
    assert (named(result, "ok"), named(result, "fail")) == (["direct api-endpoint"], ["direct aws:s3"])
    assert "or remove s3 from aws.direct" in result["findings"][1]["hint"]
