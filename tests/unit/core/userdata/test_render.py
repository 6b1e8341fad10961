"""User data for each way, read by what reads it there: YAML, HCL, MIME, the agent's own check."""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.core.facts.cluster_hints import from_node_configs
from agent.core.record import evolve
from agent.core.settings.layers import flag_layer, merge, parse_toml
from agent.core.settings.user_data import read_user_data
from agent.core.userdata.check import check
from agent.core.userdata.install_script import SETTINGS_FILE
from agent.core.userdata.package import check_lead, read_package
from agent.core.userdata.render import RenderRequest, render
from agent.core.userdata.way import Way
from agent.errors import AgentError, UsageError

PROXY = "http://proxy.example.com:3128"
SETTINGS = f'[proxy]\nurl = "{PROXY}"\n'
CLUSTER = """
[cluster]
name = "my-cluster"
endpoint = "https://ABC.gr7.eu-west-1.eks.amazonaws.com"
service_cidr = "172.20.0.0/16"
"""
AUTHORITY = "TXkgY2x1c3RlcidzIENBLg=="
SHA256 = "0123456789abcdef" * 4
HTTPS = read_package("https://repository.example.com/eks-proxy-agent.rpm", SHA256, "")
S3 = read_package("s3://my.bucket/dir/eks-proxy-agent.rpm", SHA256, "eu-west-1")
NODE_CONFIG = f"""\
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  cluster:
    name: other
    apiServerEndpoint: https://DEF.gr7.eu-west-1.eks.amazonaws.com
    certificateAuthority: {AUTHORITY}
    cidr: 10.100.0.0/16
  kubelet:
    flags: ["--node-labels=a=${{b}}"]
"""


def request(way: Way, settings: str = SETTINGS + CLUSTER, **values: Any) -> RenderRequest:
    """Return a request of these settings."""
    layered = merge([parse_toml("config.toml", settings.encode())])
    return RenderRequest(way, layered, **{"certificate_authority": AUTHORITY, **values})


def parts(text: str) -> list[tuple[str, str]]:
    """Return type and text of the parts of a MIME message, by Python's email package."""
    message = email.message_from_string(text)
    assert message.is_multipart()
    found = []
    for part in message.get_payload():
        assert not isinstance(part, str)
        assert part.keys() == ["Content-Type"]
        found.append((part.get_content_type(), str(part.get_payload())))
    return found


def parts_for(way: Way, text: str) -> list[tuple[str, str]]:
    """Return the parts in the form that the way takes."""
    if way is Way.KARPENTER:
        manifest = yaml.safe_load(text)
        assert (manifest["apiVersion"], manifest["kind"]) == ("karpenter.k8s.aws/v1", "EC2NodeClass")
        return parts(manifest["spec"]["userData"])
    return terraform_parts(text) if way is Way.TERRAFORM else parts(text)


def terraform_parts(text: str) -> list[tuple[str, str]]:
    """Return the parts of cloudinit_pre_nodeadm; python-hcl2 leaves heredocs as they are."""
    import hcl2

    found = []
    for part in hcl2.loads(text)["cloudinit_pre_nodeadm"]:
        heredoc = re.fullmatch(r'"<<-(\w+)\n(.*)\n *\1"', part["content"], re.DOTALL)
        assert heredoc
        content = textwrap.dedent(heredoc[2] + "\n").replace("$${", "${").replace("%%{", "%{")
        kind = part["content_type"][1:-1].replace('\\"', '"')
        found.append((kind.partition(";")[0], content + "\n"))
    return found


def rendered(way: Way, settings: str = SETTINGS + CLUSTER, **values: Any) -> dict[str, str]:
    """Return the text of each part by its type."""
    return dict(parts_for(way, render(request(way, settings, **values)).text))


AGENT, NODEADM, SCRIPT = "application/x-eks-proxy-agent", "application/node.eks.aws", "text/x-shellscript"


@pytest.mark.parametrize(
    ("way", "package", "types"),
    [
        (Way.LAUNCH_TEMPLATE, None, [NODEADM, AGENT]),
        (Way.MANAGED_NODE_GROUP, None, [NODEADM, AGENT]),
        (Way.KARPENTER, None, [AGENT]),
        (Way.TERRAFORM, None, [AGENT]),
        (Way.LAUNCH_TEMPLATE, S3, [NODEADM, AGENT, SCRIPT]),
        (Way.MANAGED_NODE_GROUP, S3, [NODEADM, SCRIPT]),
        (Way.KARPENTER, HTTPS, [NODEADM, AGENT, SCRIPT]),
        (Way.TERRAFORM, HTTPS, [NODEADM, SCRIPT]),
    ],
)
def test_each_way_has_its_parts(way, package, types):
    """Where EKS may drop a part of ours, the script has the settings; a check finds no fault."""
    done = render(request(way, package=package))
    found = parts_for(way, done.text)
    assert [kind for kind, _ in found] == types
    assert done.warnings == ()
    message = "".join(f"--B\nContent-Type: {kind}\n\n{text}\n" for kind, text in found)
    raw = f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="B"\n\n{message}--B--\n'.encode()
    may_drop = way in (Way.MANAGED_NODE_GROUP, Way.TERRAFORM) and package is None
    assert [fault.rule for fault in check(raw, way).faults] == (["eks"] if may_drop else [])


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("package", [None, S3, HTTPS], ids=["image", "s3", "https"])
def test_settings_arrive_unchanged(way, package):
    """The agent reads from its part, or from the file of the script, what the settings say."""
    settings = (
        SETTINGS.replace("\n", '\nno_proxy = ["a.example.com", ".b"]\n', 1) + CLUSTER + '[node]\nca_bundle = "/x"\n'
    )
    found = rendered(way, settings, package=package)
    expected = merge([parse_toml("config.toml", settings.encode())]).settings
    text = found.get(AGENT) or re.search(r"<<'EOF'[^\n]*\n(.*?\n)EOF\n", found[SCRIPT], re.DOTALL)[1]
    assert merge([parse_toml("part", text.encode())]).settings == expected


def test_a_node_config_names_the_cluster():
    """nodeadm has what it requires; a NodeConfig of the operator completes it, and wins."""
    info = from_node_configs([rendered(Way.LAUNCH_TEMPLATE)[NODEADM]])
    assert (info.name, info.endpoint) == ("my-cluster", "abc.gr7.eu-west-1.eks.amazonaws.com")
    assert info.service_cidrs == ("172.20.0.0/16",)
    done = render(
        request(Way.LAUNCH_TEMPLATE, SETTINGS, certificate_authority="", node_configs=(("n.yaml", NODE_CONFIG),))
    )
    user_data = read_user_data(done.text.encode())
    assert user_data.node_configs == (NODE_CONFIG,)


def test_an_early_node_config_passes_the_check_of_the_agent():
    """nodeadm reaches the metadata service and VPC endpoints directly, AWS through the proxy.

    The agent, which knows this proxy from its settings, has nothing to say.
    """
    text = rendered(Way.KARPENTER, SETTINGS + '[aws]\ndirect = ["ec2"]\n', package=S3, region="eu-west-1")[NODEADM]
    default = yaml.safe_load(text)["spec"]["instance"]["environment"]["default"]
    assert default["HTTPS_PROXY"] == PROXY
    assert set(default) == {"HTTPS_PROXY", "NO_PROXY"}
    assert {"169.254.169.254", "fd00:ec2::254", "ec2.eu-west-1.amazonaws.com"} <= set(default["NO_PROXY"].split(","))
    info = from_node_configs([text], ["user data"], {PROXY})
    assert (info.warnings, info.problems) == ((), ())
    assert from_node_configs([text], ["user data"], {"http://other:1"}).warnings


def test_an_unknown_region_leaves_out_names():
    """No entry has a gap where the region would be; the warning names --region."""
    done = render(request(Way.KARPENTER, SETTINGS + '[aws]\ndirect = ["ec2", "a.example.com"]\n', package=HTTPS))
    environment = yaml.safe_load(dict(parts_for(Way.KARPENTER, done.text))[NODEADM])["spec"]["instance"]["environment"]
    entries = environment["default"]["NO_PROXY"].split(",")
    assert "a.example.com" in entries
    assert [entry for entry in entries if ".." in entry or "amazonaws" in entry] == []
    assert ["--region" in warning for warning in done.warnings] == [True]


@pytest.mark.parametrize(
    ("settings", "package", "warning"),
    [
        ("[metadata]\ndeadline = 5\n", None, "metadata.deadline is left out"),
        ('credentials_file = "/etc/c"\n', None, "proxy.credentials_file: karpenter carries its name only"),
        ('credentials_file = "/etc/c"\n', S3, "nodeadm-config calls the EC2 API before"),
        ('credentials_file = "/etc/c"\n', S3, "use s3:// with a VPC endpoint"),
        ('credentials = "systemd:proxy"\n', None, "proxy.credentials: karpenter carries its name only"),
        ('credentials_command = ["/bin/x"]\n', HTTPS, "the script fetches without the proxy's password"),
        ('[node]\nca_bundle = "/etc/ca.pem"\n', None, "node.ca_bundle: karpenter carries its path only"),
        ('[node]\nca_bundle = "/etc/ca.pem"\n', HTTPS, "use http:// (the sha256 is verified)"),
        ('[failure]\npolicy = "closed"\n', HTTPS, 'failure.policy: "closed" has no effect before'),
    ],
)
def test_what_a_way_cannot_carry_has_a_warning(settings, package, warning):
    """A file of the image, and what is needed before the agent is there."""
    done = render(request(Way.KARPENTER, SETTINGS + settings, package=package, region="eu-west-1"))
    assert any(warning in text for text in done.warnings), done.warnings


def test_a_script_carries_settings_that_user_data_cannot():
    """metadata.* is in the file of the script, where it is allowed."""
    done = render(request(Way.MANAGED_NODE_GROUP, SETTINGS + "[metadata]\ndeadline = 5\n", package=S3))
    assert "deadline = 5" in done.text
    assert done.warnings == ()


def test_several_proxies_are_routes_of_the_script():
    """The script tries each; the NodeConfig names the first, with a warning."""
    settings = '[proxy]\nurl = ["http://a.example.com:1", "http://b.example.com:2"]\n'
    done = render(request(Way.KARPENTER, settings, package=HTTPS))
    script = dict(parts_for(Way.KARPENTER, done.text))[SCRIPT]
    assert "\nroutes='http://a.example.com:1 http://b.example.com:2'\n" in script
    assert "proxy.url: the NodeConfig names the first proxy only" in done.warnings[0]
    https = settings + 'https_url = "http://c.example.com:3"\n'
    assert "\nroutes='direct http://c.example.com:3'\n" in rendered(Way.KARPENTER, https, package=S3)[SCRIPT]
    plain = evolve(HTTPS, url="http://r.example.com/a.rpm")
    assert (
        "\nroutes='http://a.example.com:1 http://b.example.com:2'\n"
        in rendered(Way.KARPENTER, https, package=plain)[SCRIPT]
    )


# --- refused
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"settings": ""}, "there are no settings to render"),
        ({"settings": "[metadata]\ndeadline = 5\n"}, "metadata.* alone is not for user data"),
        ({"settings": CLUSTER, "package": S3}, "proxy.url is not set; --rpm needs it"),
        ({"node_configs": (("n", "kind: ["),)}, "NodeConfig (n): line 1, column 8: invalid YAML"),
        ({"node_configs": (("n", "kind: Pod"),)}, "kind is not NodeConfig"),
        (
            {"node_configs": (("n", "kind: NodeConfig\nspec: {instance: {environment: {default: {NO_PROXY: a}}}}"),)},
            "NO_PROXY in spec.instance.environment.default lacks 169.254.169.254",
        ),
        (
            {"node_configs": (("n", "kind: NodeConfig\n# http://alice:hunter2@proxy:1"),)},
            "n, line 2: seems to hold a password",
        ),
        (
            {"settings": SETTINGS + '[bootstrap]\narguments = ["--x=http://a:hunter2@p:1"]\n'},
            "seems to hold a password",
        ),
        (
            {"settings": SETTINGS + CLUSTER + f'[node]\nca_bundle = "-----BEGIN {"x" * 20000}"\n'},
            "EC2 takes at most 16,384",
        ),
    ],
)
def test_what_cannot_be_rendered(values, error):
    """The error says what is wrong and what takes the room, and repeats no password."""
    way = Way.LAUNCH_TEMPLATE if "EC2" in error else Way.KARPENTER
    with pytest.raises(AgentError) as caught:
        render(request(way, **values))
    assert error in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("way", [Way.LAUNCH_TEMPLATE, Way.MANAGED_NODE_GROUP])
def test_a_cluster_without_a_node_config_of_others_has_to_be_complete(way):
    """The error names each missing field and its remedy; a NodeConfig of the operator is enough."""
    with pytest.raises(UsageError) as caught:
        render(request(way, SETTINGS, certificate_authority=""))
    assert "lacks name, apiServerEndpoint, certificateAuthority, cidr" in str(caught.value)
    assert "--certificate-authority" in caught.value.hint
    with pytest.raises(UsageError, match="--certificate-authority: expected base64"):
        render(request(way, certificate_authority="-----BEGIN CERTIFICATE-----"))
    assert render(request(way, SETTINGS, certificate_authority="", node_configs=(("n", NODE_CONFIG),))).warnings == ()


def test_the_room_is_shown():
    """EKS adds a NodeConfig, Karpenter compresses: the warning says what takes the room."""
    settings = SETTINGS + f'[node]\nca_bundle = "-----BEGIN {"x" * 10000}"\n'
    (warning,) = render(request(Way.TERRAFORM, settings + "#", package=S3)).warnings
    assert re.match(r"user data: 1[0-9],[0-9]+ bytes of 16,384 \(installation script 1[0-9],", warning)
    (warning,) = render(request(Way.KARPENTER, SETTINGS + f'[node]\nca_bundle = "-----BEGIN {"x" * 15000}"\n')).warnings
    assert "(settings with node.ca_bundle 15," in warning
    assert warning.endswith("Karpenter compresses it")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("s3://bucket/a.rpm", SHA256, ""), "the region of the bucket is unknown; add --region REGION"),
        (("s3://bucket", SHA256, "eu-west-1"), "expected s3://BUCKET/KEY"),
        (("s3://BUCKET/a.rpm", SHA256, "eu-west-1"), "expected s3://BUCKET/KEY"),
        (("https://host/a.rpm", "", ""), "requires --sha256 HEX or --rpm-file FILE"),
        (("https://host/a.rpm", "12ab", ""), "expected 64 hexadecimal digits"),
        (("https://host/a.rpm", SHA256, "", "f" * 64), "differs from the SHA-256 of --rpm-file"),
        (("https://alice:hunter2@host/a.rpm", SHA256, ""), "contains user info"),
        (("https://b.s3.amazonaws.com/a.rpm?X-Amz-Signature=hunter2", SHA256, ""), "is a presigned URL"),
        (("https://host/a'.rpm", SHA256, ""), "contains a blank, a quote or another special character"),
        (("https://host/$(id).rpm\n", SHA256, ""), "contains a blank, a quote or another special character"),
        (("/dist/a.rpm", SHA256, ""), "expected https://HOST/PATH"),
        (("ftp://host/a.rpm", SHA256, ""), "expected https://HOST/PATH"),
        (("https://host/", SHA256, ""), "expected https://HOST/PATH"),
        (("https:///a.rpm", SHA256, ""), "expected https://HOST/PATH"),
    ],
)
def test_a_package_that_is_refused(arguments, error):
    """The error says what to write; it repeats no secret."""
    with pytest.raises(UsageError) as caught:
        read_package(*arguments)
    assert error in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_package_of_a_local_file():
    """Its SHA-256 counts; a file that is not a package of the agent is refused."""
    assert read_package("HTTPS://host/a.rpm", "", "", SHA256) == evolve(HTTPS, url="https://host/a.rpm")
    lead = b"\xed\xab\xee\xdb\x03\0\0\0\0\x01eks-proxy-agent-1.0.0-1"
    check_lead("a.rpm", lead.ljust(96, b"\0"))
    with pytest.raises(UsageError, match="is not an RPM"):
        check_lead("a.rpm", b"PK")
    with pytest.raises(UsageError, match='is the package "bash-5"; expected eks-proxy-agent'):
        check_lead("a.rpm", lead.replace(b"eks-proxy-agent-1.0.0-1", b"bash-5").ljust(96, b"\0"))


# --- the script
# -------------------------------------------------------------------------------------------------


@pytest.mark.allows("subprocess")
@pytest.mark.parametrize("package", [S3, HTTPS], ids=["s3", "https"])
@pytest.mark.parametrize("way", [Way.MANAGED_NODE_GROUP, Way.KARPENTER])
@pytest.mark.parametrize("settings", ["", 'credentials_file = "/etc/c d"\n[signal]\nstack = "s"\nresource = "r"\n'])
def test_shellcheck_has_no_findings(tmp_path, way, package, settings):
    """shellcheck knows the script as POSIX sh."""
    (tmp_path / "script").write_text(rendered(way, SETTINGS + settings, package=package)[SCRIPT])
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert shellcheck
    done = subprocess.run(
        [shellcheck, "-o", "all", "-e", "SC2250,SC2310,SC2312", str(tmp_path / "script")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_script_signals_cloudformation_if_the_settings_say_so():
    """The bootstrap unit is started without waiting for it."""
    start = "systemctl start --no-block eks-proxy-agent-bootstrap"
    assert start not in rendered(Way.KARPENTER, package=S3)[SCRIPT]
    signal = '[signal]\nstack = "s"\nresource = "r"\n'
    assert start in rendered(Way.KARPENTER, SETTINGS + signal, package=S3)[SCRIPT]


@given(st.text("ab${}%'\"\\`\n #", max_size=60))
def test_no_text_of_settings_escapes_its_form(text):
    """Any value of the settings arrives in each form, and shell, YAML and HCL take it as text."""
    layered = merge([flag_layer([]), *[parse_toml("f", SETTINGS.encode())]])
    layered = evolve(layered, raw={**layered.raw, ("node", "ca_bundle"): text})
    for way, package in ((Way.KARPENTER, None), (Way.TERRAFORM, None), (Way.LAUNCH_TEMPLATE, S3)):
        values = RenderRequest(way, layered, package, node_configs=(("n", NODE_CONFIG),))
        found = dict(parts_for(way, render(values).text))
        assert parse_toml("part", found[AGENT].encode()).data["node"]["ca_bundle"] == text
        assert found[NODEADM].strip() == NODE_CONFIG.strip() or package


def test_the_settings_file_of_the_script_is_read_last():
    """It overrides the files of the package and of an image."""
    assert SETTINGS_FILE.rpartition("/")[2] > "50-company.toml"
