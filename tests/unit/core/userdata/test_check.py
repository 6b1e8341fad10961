"""`user-data check` on user data as people write it.

The two recipes that are copied from page to page, and eight typical variants.  After an intended
change: ACCEPT=1 pytest FILE, and read the diff.
"""

from __future__ import annotations

import base64
import gzip
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.userdata import view
from agent.core.userdata.check import check
from agent.core.userdata.node_class import user_data_of
from agent.core.userdata.way import LIMIT, Way

HERE = Path(__file__).parent
CASES = sorted((HERE / "cases").iterdir())
PROXY = "http://proxy.corp.example:3128"
CLUSTER = """\
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec: {cluster: {name: c, apiServerEndpoint: https://a.gr7.eu-west-1.eks.amazonaws.com,
  certificateAuthority: Zg==, cidr: 10.99.0.0/16}}
"""


def message(*parts: tuple[str, str], boundary: str = "B") -> bytes:
    """Return a multipart of pairs of header lines and text."""
    head = f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{boundary}"\n\n'
    return (
        head + "".join(f"--{boundary}\n{header}\n\n{text}\n" for header, text in parts) + f"--{boundary}--\n"
    ).encode()


SETTINGS = ("Content-Type: application/x-eks-proxy-agent", f'[proxy]\nurl = "{PROXY}"\n')
NODE_CONFIG = ("Content-Type: application/node.eks.aws", CLUSTER)


def script(text: str, kind: str = "text/x-shellscript") -> tuple[str, str]:
    """Return a part of a script."""
    return f"Content-Type: {kind}", text


def rules(raw: bytes, way: Way | None = None) -> list[str]:
    """Return the rules of the faults."""
    return [fault.rule for fault in check(raw, way).faults]


def results(raw: bytes, way: Way | None = None) -> dict[str, str]:
    """Return the last result of each reader."""
    return {treatment.reader: treatment.text for treatment in check(raw, way).treatments}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_a_case_has_its_report(path: Path) -> None:
    """The report names each reader's treatment, and each fault with its place and remedy."""
    content = path.read_bytes()
    manifest = user_data_of(content)
    report = check(content, None) if manifest is None else check(manifest, Way.KARPENTER)
    text = "\n".join([*view.lines(report), ""])
    golden = HERE / "golden" / f"{path.name}.txt"
    if os.environ.get("ACCEPT") == "1":
        golden.write_text(text)
    assert text == golden.read_text()


def test_every_fault_of_the_issue_has_a_case() -> None:
    """The cases have each fault of hand-made recipes."""
    seen = {rule for path in CASES for rule in rules(user_data_of(path.read_bytes()) or path.read_bytes())}
    assert seen >= {
        "no-shebang",
        "metadata-v1",
        "literal-region",
        "append",
        "last-section",
        "cfn-signal",
        "no-service-cidr",
        "no-directory",
        "hidden-metadata",
        "boundary",
        "password",
        "leading-text",
        "nodeadm",
    }


@pytest.mark.parametrize("way", [None, *Way], ids=str)
def test_faultless_user_data_has_no_warning(way: Way | None) -> None:
    """The only fault of a NodeConfig, settings and a script: EKS may drop the settings."""
    raw = message(NODE_CONFIG, SETTINGS, script("#!/bin/sh\nmkdir -p /etc/x.d\necho a >/etc/x.d/a\n"))
    may_drop = way in (Way.MANAGED_NODE_GROUP, Way.TERRAFORM)
    assert rules(raw, way) == (["eks"] if may_drop else [])


@pytest.mark.parametrize(
    "pack", [base64.b64encode, base64.encodebytes, gzip.compress], ids=["one line", "lines", "gzip"]
)
def test_packed_user_data_is_read(pack) -> None:  # type: ignore[no-untyped-def]
    """base64 of the whole and gzip are undone by cloud-init, nodeadm and the agent."""
    found = results(pack(message(NODE_CONFIG, SETTINGS)))
    assert found["nodeadm"] == "joins the cluster c"
    assert found["agent"] == f"reads 1 setting; proxy.url is {PROXY}"


# --- each reader
# -------------------------------------------------------------------------------------------------


def test_a_nested_multipart_is_not_read_by_nodeadm() -> None:
    """cloud-init and the agent read its parts; Go's reader takes it for one part."""
    inner = message(NODE_CONFIG, SETTINGS, boundary="C").decode().partition("\n")[2]
    raw = message(tuple(inner.split("\n\n", 1)))  # type: ignore[arg-type]
    found = results(raw)
    assert found["nodeadm"].startswith("finds no NodeConfig")
    assert found["agent"].startswith("reads 1 setting")


def test_one_part_alone_is_for_the_agent_only() -> None:
    """Karpenter and EKS refuse it, and nodeadm takes a NodeConfig with MIME headers for YAML."""
    alone = f"MIME-Version: 1.0\n{SETTINGS[0]}\n\n{SETTINGS[1]}".encode()
    found = results(alone)
    assert found["Karpenter"] == "refuses it, and starts no node: a single part, not a multipart"
    assert "refuses it" in found["EKS"]
    assert found["agent"].startswith("reads 1 setting")
    assert rules(alone) == []
    assert rules(alone, Way.KARPENTER) == ["karpenter"]
    assert rules(alone, Way.MANAGED_NODE_GROUP) == ["eks"]
    assert rules(f"MIME-Version: 1.0\n{NODE_CONFIG[0]}\n\n{CLUSTER}".encode()) == ["nodeadm"]


def test_karpenter_drops_the_encoding_of_a_script() -> None:
    """The node gets the script in base64; a NodeConfig and our settings survive that."""
    encoded = base64.b64encode(b"#!/bin/sh\n").decode()
    header = "\nContent-Transfer-Encoding: base64"
    raw = message(
        (script("")[0] + header, encoded), (SETTINGS[0] + header, base64.b64encode(SETTINGS[1].encode()).decode())
    )
    assert rules(raw) == []
    assert rules(raw, Way.KARPENTER) == ["dropped-encoding"]


def test_karpenter_takes_yaml_without_header_for_a_node_config() -> None:
    """A NodeConfig is right; a cloud-config is YAML too, and nodeadm fails with it."""
    assert rules(CLUSTER.encode(), Way.KARPENTER) == []
    assert rules(b"#cloud-config\nruncmd: [ls]\n", Way.KARPENTER) == ["karpenter", "nodeadm"]
    assert "script" in results(b"#!/bin/sh\nls\n", Way.KARPENTER)["Karpenter"]
    assert rules(base64.b64encode(message(SETTINGS)), Way.KARPENTER) == ["karpenter", "no-shebang"]


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        (message(NODE_CONFIG).replace(b'"B"', b'"A"'), "boundary"),
        (message(NODE_CONFIG).replace(b'; boundary="B"', b""), "boundary"),
        (message(NODE_CONFIG) + b"--B\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n", "after-end"),
        (b"\n" + message(NODE_CONFIG), "leading-text"),
        (b"\xef\xbb\xbf" + message(NODE_CONFIG), "leading-text"),
        (message(NODE_CONFIG).partition(b"\n")[2], "no-mime-version"),
        (message(NODE_CONFIG)[: -len(b"--B--\n")], "nodeadm"),
        (message(("Content-Type: application/node.eks.aws", "kind: [")), "nodeadm"),
        (message(("Content-Type: application/x-eks-proxy-agent", "[proxy]\nurl = 1\n")), "settings"),
        (message(("Content-Type: application/eks-proxy-agent", SETTINGS[1])), "misplaced-settings"),
        (b"#" * (LIMIT + 1), "size"),
        (b"x" * (LIMIT * 16 + 1), "unreadable"),
        (message(*[script("#!/bin/sh\n")] * 33), "unreadable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_of_the_message(raw: bytes, rule: str) -> None:
    """A damaged message has its fault."""
    assert rule in rules(raw)


def test_the_size_is_what_ec2_counts() -> None:
    """A file in base64 is counted decoded; EKS adds a NodeConfig; Karpenter compresses."""
    big = message(script("#!/bin/sh\n#" + "x" * (LIMIT - 2000) + "\n"))
    assert check(base64.b64encode(big)).size == len(big)
    assert rules(big) == []
    assert rules(big, Way.MANAGED_NODE_GROUP) == ["size"]
    assert rules(message(script("#!/bin/sh\n#" + "x" * LIMIT + "\n")), Way.KARPENTER) == []


# --- scripts
# -------------------------------------------------------------------------------------------------

V2 = 'curl -H "X-aws-ec2-metadata-token: $T" http://169.254.169.254/latest/meta-data/mac\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (V2, []),
        (V2.replace("token:", "token-ttl-seconds:"), ["metadata-v1"]),
        ("ec2-metadata --region\n", []),
        ("echo a >> /etc/environment\n", ["append"]),
        ("echo a >> /var/log/x\n", []),
        ("echo a > /etc/environment\n", []),
        ("echo a | tee -a /etc/yum.conf\n", ["append", "last-section"]),
        ("echo a >> /etc/motd\n", []),
        ("/opt/aws/bin/cfn-signal \\\n  --stack x\n", []),
        ("/opt/aws/bin/cfn-signal -e 0\n  --stack x\n", ["cfn-signal"]),
        ("# cfn-signal\n --x\n", []),
        ("echo a >/etc/systemd/system/docker.service.d/p.conf\n", ["no-directory"]),
        ("mkdir -p /etc/systemd/system/docker.service.d\necho a >/etc/systemd/system/docker.service.d/p.conf\n", []),
        ("mkdir -p /etc/systemd/system/{docker,kubelet}.service.d\necho >/etc/systemd/system/docker.service.d/p\n", []),
        ("NO_PROXY=169.254.169.254,172.20.0.0/16\n", []),
        ("NO_PROXY=169.254.169.254,$SERVICE_CIDR,.svc\n", []),
        ("NO_PROXY=169.254.0.0/16,.svc\n", ["no-service-cidr"]),
        ("NO_PROXY=172.20.0.0/16\n", ["no-metadata"]),
        ("NO_PROXY=$no_proxy\n", []),
        ("no_proxy: '169.254.169.254,172.20.0.0/16,s3.eu-west-1.amazonaws.com'\n", []),
        (V2 + "no_proxy: '169.254.169.254,172.20.0.0/16,s3.eu-west-1.amazonaws.com'\n", ["literal-region"]),
        ("NO_PROXY=*\n", []),
        ("HTTPS_PROXY=http://$USER:$PASSWORD@proxy:3128\n", []),
        ("HTTPS_PROXY=http://alice:hunter2@proxy:3128\n", ["password"]),
    ],
)
def test_a_fault_of_a_script(text: str, expected: list[str]) -> None:
    """Each line has its faults, and a correct one has none."""
    assert rules(message(script("#!/bin/sh\n" + text))) == expected


def test_the_cluster_of_the_node_config_decides() -> None:
    """The list has to cover its service CIDR, and may name hosts of its region."""

    def found(value: str) -> list[str]:
        return rules(message(NODE_CONFIG, script(f"#!/bin/sh\nNO_PROXY=169.254.169.254,{value}\n")))

    assert found("10.99.0.0/16,s3.eu-west-1.amazonaws.com") == []
    assert found("10.0.0.0/8") == []
    assert found("172.20.0.0/16") == ["no-service-cidr"]
    assert found("10.99.0.0/16,s3.us-east-1.amazonaws.com") == ["literal-region"]


def test_a_boothook_without_first_words_may_have_a_shebang() -> None:
    """cloud-init removes #cloud-boothook and blanks before it executes the text."""
    assert rules(message(script("#cloud-boothook\n#!/bin/sh\n", "text/cloud-boothook"))) == []
    assert rules(message(script("#!/bin/sh\n", "text/cloud-boothook"))) == []
    assert rules(message(script("#cloud-boothook\necho\n", "text/cloud-boothook"))) == ["no-shebang"]
    assert rules(message(script("#!/bin/sh\necho >> /etc/motd\n", "text/cloud-boothook"))) == ["append"]


def test_a_line_is_that_of_the_file() -> None:
    """The line counts from the first of the file; in a part with an encoding it is unknown."""
    text = "#!/bin/sh\necho a >> /etc/environment\n"
    (fault,) = check(message(script(text))).faults
    assert (fault.part, fault.line) == (1, 8)
    for way in (None, Way.KARPENTER):
        assert [fault.line for fault in check(text.encode(), way).faults] == [2]
    encoded = base64.b64encode(text.encode()).decode()
    (fault,) = check(message((script("")[0] + "\nContent-Transfer-Encoding: base64", encoded))).faults
    assert (fault.part, fault.line) == (1, 0)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)), st.sampled_from([None, *Way]))
def test_any_bytes_have_a_report(raw: bytes, way: Way | None) -> None:
    """Nothing breaks a reader, alone or as a part; the text has no control characters."""
    for data in (raw, message(NODE_CONFIG) + raw, message(script("#!")).replace(b"#!", raw)):
        report = check(data, way)
        assert all(line.isprintable() for line in view.lines(report))
        assert view.document(report)["schema"] == 1
