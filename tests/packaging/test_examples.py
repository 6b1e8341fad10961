"""packaging/examples: its own tool parses each file, and the agent each command line."""

import email
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from agent import cli

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "packaging/examples"
CASES = ROOT / "tests/boot/cases"
TOOLS = Path(sys.executable).parent
USER_DATA = sorted((EXAMPLES / "user-data").iterdir())
STOCK = EXAMPLES / "stock-ami"
SHA256 = "0123456789abcdef" * 4

# The values of CloudFormation for the boot of its user data.
PARAMETERS = {
    "ProxyUrl": "http://proxy.example.com:3128",
    "ClusterName": "my-cluster",
    "ApiServerEndpoint": "https://0123456789ABCDEF0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com",
    "CertificateAuthority": "TXkgY2x1c3RlcidzIENBLg==",
    "AWS::StackName": "my-nodes",
}
# The commands that bake an image, in this order: both examples of image builds have exactly these.
BAKING = [
    "yum install -y /tmp/eks-proxy-agent.rpm",
    "install -m 0644 /tmp/config.toml /etc/eks-proxy-agent/config.toml",
    "eks-proxy-agent bake",
    "eks-proxy-agent clean",
    "rm /tmp/eks-proxy-agent.rpm /tmp/config.toml",
]


def command_lines(text):
    """Return the agent's arguments of each call in a text.

    A call is on a line of its own, perhaps with continuation lines, or between backticks.
    """
    joined = re.sub(r"\\\n\s*", "", text)
    call = r"^[ \t]*(?:- |\$ )?(?:sudo |exec )?eks-proxy-agent (.*)$|`(?:sudo )?eks-proxy-agent ([^`]+)`"
    return [shlex.split(line or inline, comments=True) for line, inline in re.findall(call, joined, re.MULTILINE)]


def agent(*arguments, **options):
    """Run the agent as a user does."""
    command = [sys.executable, "-m", "agent", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, **options)


def settings_of(user_data, directory):
    """Return the settings of a node with this user data by SECTION.KEY; they have to be valid."""
    facts = {"instance_id": "i-0123456789abcdef0", "region": "eu-west-1", "vpc_cidrs_v4": ["10.0.0.0/16"]}
    (directory / "facts.json").write_text(json.dumps({**facts, "user_data": user_data}))
    flags = ["--root", str(directory), "--facts", str(directory / "facts.json")]
    checked = agent("config", "check", *flags)
    assert (checked.returncode, checked.stderr) == (0, "")
    shown = json.loads(agent("config", "show", "--json", *flags).stdout)
    return {f"{setting['section']}.{setting['key']}": setting["value"] for setting in shown}


# --- every file
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [*USER_DATA, EXAMPLES / "image-builder.yaml", ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))],
    ids=lambda path: path.name,
)
def test_every_command_line_is_valid(path):
    """The agent accepts every command line of an example or a page."""
    for arguments in command_lines(path.read_text()):
        cli.parser().parse_args(arguments)


def test_index_lists_every_example():
    """README.md of the examples lists exactly the files that exist."""
    named = re.findall(r"^\| `([^`]+)` \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    files = [str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*") if path.is_file()]
    assert sorted(named) == sorted(name for name in files if name != "README.md")


# --- images
# -------------------------------------------------------------------------------------------------


def packer():
    """Return the Packer template; python-hcl2 keeps the quotes of strings."""
    import hcl2

    return hcl2.loads((EXAMPLES / "eks-node.pkr.hcl").read_text())


def unquoted(value):
    """Return an HCL string without its quotes; a bare expression stays as it is."""
    return value[1:-1] if value.startswith('"') else value


def provisioners():
    """Return the kind and body of each provisioner, in order."""
    ((build),) = packer()["build"]
    return [
        (unquoted(kind), body) for block in build["provisioner"] for kind, body in block.items() if kind[:2] != "__"
    ]


def test_packer_uploads_the_package_and_the_settings():
    """The package is a file of the operator, the settings are beside the template.

    Nothing comes from a repository.
    """
    uploads = {unquoted(b["destination"]): unquoted(b["source"]) for kind, b in provisioners() if kind == "file"}
    assert uploads == {
        "/tmp/eks-proxy-agent.rpm": "${var.rpm}",
        "/tmp/config.toml": "${path.root}/config.toml",
    }


def test_packer_installs_bakes_and_cleans_in_this_order():
    """The only shell provisioner is the last; it installs, bakes, and cleans at the end."""
    kinds = [kind for kind, _ in provisioners()]
    assert kinds == ["file", "file", "shell"]
    steps = [unquoted(step).replace("sudo ", "") for step in provisioners()[-1][1]["inline"]]
    assert steps == BAKING


def image_builder():
    """Return the component document."""
    return yaml.safe_load((EXAMPLES / "image-builder.yaml").read_text())


def test_image_builder_component_matches_the_schema_of_awstoe():
    """Keys, phases, actions and inputs match AWSTOE's document schema.

    Each parameter that is used is declared.
    """
    document = image_builder()
    assert set(document) == {"name", "description", "schemaVersion", "parameters", "phases"}
    assert document["schemaVersion"] == 1.0
    assert [phase["name"] for phase in document["phases"]] == ["build", "test"]
    inputs = {"S3Download": (list, {"source", "destination"}), "ExecuteBash": (dict, {"commands"})}
    for step in (step for phase in document["phases"] for step in phase["steps"]):
        assert set(step) == {"name", "action", "inputs"}
        kind, keys = inputs[step["action"]]
        assert isinstance(step["inputs"], kind)
        tables = [step["inputs"]] if kind is dict else step["inputs"]
        assert [set(table) for table in tables if set(table) != keys] == []
    declared = {name for parameter in document["parameters"] for name in parameter}
    assert set(re.findall(r"{{ *([^ }]+) *}}", json.dumps(document["phases"]))) == declared


def test_image_builder_and_packer_run_the_same_commands():
    """Both bake with the same commands, and the first failure ends the build."""
    _, install = image_builder()["phases"][0]["steps"]
    assert install["inputs"]["commands"] == ["set -o errexit", *BAKING]


@pytest.mark.parametrize("phase", [0, 1], ids=["build", "test"])
def test_image_builder_scripts_pass_shellcheck(phase):
    """AWSTOE makes one bash script of a step's commands; shellcheck has no findings in it."""
    commands = image_builder()["phases"][phase]["steps"][-1]["inputs"]["commands"]
    script = "\n".join(["#!/bin/bash", *commands, ""])
    done = subprocess.run([TOOLS / "shellcheck", "-"], input=script, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_test_phase_of_image_builder_distinguishes_configured_nodes(tmp_path):
    """Its grep matches the phase of a configured node, and not that of a node without a proxy."""
    (check,) = [step for step in image_builder()["phases"][1]["steps"][0]["inputs"]["commands"] if "grep" in step]
    facts = {"instance_id": "i-0123456789abcdef0", "region": "eu-west-1", "vpc_cidrs_v4": ["10.0.0.0/16"]}
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    codes = []
    for name, flags in (("with", ["--proxy", PARAMETERS["ProxyUrl"]]), ("without", [])):
        root = tmp_path / name
        root.mkdir()
        assert agent("apply", "--root", str(root), "--facts", str(tmp_path / "facts.json"), *flags).returncode == 0
        script = check.replace("/run/", f"{root}/run/")
        codes.append(subprocess.run(["/bin/bash", "-ec", script], check=False, capture_output=True).returncode)
    assert codes == [0, 1]


def test_settings_of_the_image_can_be_baked_and_cleaned(tmp_path):
    """bake and clean succeed with config.toml in a root.

    docker keeps its drop-in, and the proxy of the builder is removed.
    """
    settings = tmp_path / "etc/eks-proxy-agent/config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text((EXAMPLES / "config.toml").read_text())
    (tmp_path / "etc/environment").write_text("LANG=C.UTF-8\nhttp_proxy=http://builder.example.com:1\n")
    for step in ("bake", "clean"):
        assert f"eks-proxy-agent {step}" in BAKING
        done = agent(step, "--root", str(tmp_path))
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "etc/systemd/system/docker.service.d/zz-eks-proxy.conf").exists()
    assert (tmp_path / "etc/environment").read_text() == "LANG=C.UTF-8\n"


# --- CloudFormation
# -------------------------------------------------------------------------------------------------


def cfn_lint(path):
    """Return cfn-lint's findings in a template, one a line."""
    pytest.importorskip("cfnlint", reason="cfn-lint needs Python 3.10")
    command = [TOOLS / "cfn-lint", "--format", "parseable", "--include-checks", "I", "--", path]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def template():
    """Return the template as CloudFormation reads it, with `!Sub` and similar tags as Fn::Sub."""
    pytest.importorskip("cfnlint", reason="cfn-lint needs Python 3.10")
    from cfnlint.decode import cfn_yaml

    return cfn_yaml.load(str(EXAMPLES / "node-group.yaml"))


def rendered_user_data():
    """Return the template's user data with PARAMETERS substituted."""
    text = template()["Resources"]["NodeTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"][
        "Fn::Sub"
    ]
    return re.sub(r"\${([^}]+)}", lambda match: PARAMETERS[match.group(1)], text)


def test_cfn_lint_has_no_findings():
    """cfn-lint reports no error, no warning and no hint."""
    assert cfn_lint(EXAMPLES / "node-group.yaml") == ""


def test_cfn_lint_detects_mistakes(tmp_path):
    """A misspelt property and an undefined reference are findings, so the test above can fail."""
    text = (EXAMPLES / "node-group.yaml").read_text()
    bad = tmp_path / "bad.yaml"
    bad.write_text(text.replace("UserData:", "UserDate:").replace("!Ref SubnetIds", "!Ref Subnets"))
    findings = cfn_lint(bad)
    assert "UserDate" in findings
    assert "Subnets" in findings


def test_image_builder_component_fits_into_a_template(tmp_path):
    """The component is valid as the Data of an AWS::ImageBuilder::Component."""
    data = (EXAMPLES / "image-builder.yaml").read_text()
    properties = {"Name": "eks-proxy-agent", "Version": "1.0.0", "Platform": "Linux", "Data": data}
    resource = {"Type": "AWS::ImageBuilder::Component", "Properties": properties}
    (tmp_path / "component.json").write_text(
        json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Component": resource}})
    )
    assert cfn_lint(tmp_path / "component.json") == ""


def test_permissions_for_the_policy_are_granted_apart():
    """They reach into all namespaces: only groups of their own have them."""
    objects = list(yaml.safe_load_all((EXAMPLES / "cluster-rbac.yaml").read_text()))
    for binding in (each for each in objects if each["kind"].endswith("Binding")):
        is_policy = binding["roleRef"]["name"].startswith("eks-proxy-agent-policy")
        assert {"-policy" in subject["name"] for subject in binding["subjects"]} == {is_policy}


def test_group_waits_for_the_signal_of_the_agent(tmp_path):
    """The agent signals the waiting resource before its timeout, on creation and on update."""
    resources = template()["Resources"]
    settings = settings_of(rendered_user_data(), tmp_path)
    group = resources[settings["signal.resource"]]
    minutes = group["CreationPolicy"]["ResourceSignal"]["Timeout"]
    update = group["UpdatePolicy"]["AutoScalingRollingUpdate"]
    assert (update["WaitOnResourceSignals"], update["PauseTime"]) == (True, minutes)
    assert settings["bootstrap.timeout"] < 60 * int(re.fullmatch(r"PT(\d+)M", minutes).group(1))


def test_user_data_of_the_group_is_booted():
    """The boot case example-cloudformation has the template's user data for PARAMETERS."""
    assert (CASES / "example-cloudformation/user-data").read_text() == rendered_user_data()


# --- the cluster
# -------------------------------------------------------------------------------------------------


def test_permissions_name_the_objects_that_the_agent_writes():
    """The roles name the ConfigMap, the policies and the default workloads, and have no wildcard.

    They are bound only to our groups.
    """
    from agent.cluster.policy import ALL_MANIFESTS
    from agent.core.cluster.admission import path_of
    from agent.core.cluster.ca_policy import CA_NAME
    from agent.core.cluster.objects import NAME
    from agent.core.settings.workloads import DEFAULT_WORKLOADS

    objects = list(yaml.safe_load_all((EXAMPLES / "cluster-rbac.yaml").read_text()))
    rules = [rule for obj in objects for rule in obj.get("rules", ())]
    named = {
        (resource, name) for rule in rules for resource in rule["resources"] for name in rule.get("resourceNames", ())
    }
    workloads = {(f"{workload.kind.lower()}s", workload.name) for workload in DEFAULT_WORKLOADS}
    policies = {tuple(path_of(manifest).split("/")[-2:]) for manifest in ALL_MANIFESTS}
    others = {("configmaps", NAME), ("configmaps", CA_NAME), ("secrets", NAME), ("services", "kubernetes")}
    assert named == workloads | policies | others
    assert "*" not in json.dumps(rules)
    subjects = {subject["name"] for obj in objects for subject in obj.get("subjects", ())}
    policy = {"eks-proxy-agent-policy", "eks-proxy-agent-policy-verify"}
    assert subjects == {"eks-proxy-agent", "eks-proxy-agent-verify"} | policy
    roles = {(obj["kind"], obj["metadata"]["name"], obj["metadata"].get("namespace")) for obj in objects}
    for obj in objects:
        if "roleRef" in obj:
            assert (obj["roleRef"]["kind"], obj["roleRef"]["name"], obj["metadata"].get("namespace")) in roles


# --- user data
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", USER_DATA, ids=lambda path: path.name)
def test_every_form_of_user_data_is_booted(path):
    """A boot case of that name links to the example as its user data, so it cannot get outdated."""
    assert (CASES / f"example-{path.name}" / "user-data").resolve() == path


@pytest.mark.parametrize("path", USER_DATA, ids=lambda path: path.name)
def test_user_data_has_no_faults(path):
    """`user-data check` has no warning, and settings alone are for Karpenter too."""
    ways = ["launch-template", "karpenter"] if path.name == "settings" else ["launch-template"]
    for way in ways:
        done = agent("user-data", "check", str(path), "--for", way)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_user_data_of_the_group_has_no_faults():
    """The same holds for the template's user data."""
    done = agent("user-data", "check", "-", "--for", "launch-template", input=rendered_user_data())
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "agent       reads" in done.stdout


@pytest.mark.parametrize("name", ["settings", "settings-nodeconfig"])
def test_settings_in_user_data_are_valid(name, tmp_path):
    """`config check` accepts them, and they set the proxy."""
    settings = settings_of((EXAMPLES / "user-data" / name).read_text(), tmp_path)
    assert settings["proxy.url"] == [PARAMETERS["ProxyUrl"]]


@pytest.mark.parametrize("name", ["apply", "bootstrap"])
def test_scripts_in_user_data_are_one_command(name):
    """Apart from comments, a script is one call of the agent with the proxy."""
    text = (EXAMPLES / "user-data" / name).read_text()
    (arguments,) = command_lines(text)
    assert (arguments[0], cli.parser().parse_args(arguments).proxy) == (name, PARAMETERS["ProxyUrl"])
    assert len([line for line in re.sub(r"\\\n", "", text).splitlines() if not line.startswith("#")]) == 1


# --- a stock AMI
# -------------------------------------------------------------------------------------------------

RENDERED = {
    "launch-template": "launch-template",
    "managed-node-group": "managed-node-group",
    "ec2-node-class.yaml": "karpenter",
    "node-group.tf": "terraform",
}


def render_command(name):
    """Return the arguments of `user-data render` for an example; README.md shows them."""
    cluster = {"name": "my-cluster", "endpoint": PARAMETERS["ApiServerEndpoint"], "service_cidr": "172.20.0.0/16"}
    of_cluster = [word for key, value in cluster.items() for word in ("--set", f"cluster.{key}={value}")]
    of_cluster += ["--certificate-authority", PARAMETERS["CertificateAuthority"]]
    return [
        *("render", "--for", RENDERED[name], "--config", "packaging/examples/config.toml"),
        *("--rpm", "s3://my-bucket/eks-proxy-agent.rpm", "--region", "eu-west-1", "--sha256", SHA256),
        *(of_cluster if name == "launch-template" else ()),
    ]


def stock_user_data(name):
    """Return the parts of an example, type and text, by the parser of its format.

    PyYAML for the manifest, python-hcl2 for Terraform, Python's email package for MIME.
    """
    text = (STOCK / name).read_text()
    if name.endswith(".tf"):
        import hcl2

        heredocs = [
            (unquoted(part["content_type"]), part["content"]) for part in hcl2.loads(text)["cloudinit_pre_nodeadm"]
        ]
        texts = [re.fullmatch(r'"<<-EOT\n(.*)\n *EOT"', content, re.DOTALL)[1] for _, content in heredocs]
        return [(kind.partition(";")[0], textwrap.dedent(part) + "\n") for (kind, _), part in zip(heredocs, texts)]
    message = email.message_from_string(yaml.safe_load(text)["spec"]["userData"] if name.endswith(".yaml") else text)
    return [(part.get_content_type(), part.get_payload()) for part in message.get_payload()]


def test_every_stock_example_is_known():
    """The directory has the files of the table."""
    assert {path.name for path in STOCK.iterdir()} == set(RENDERED)


@pytest.mark.parametrize("name", RENDERED)
def test_an_example_is_what_the_command_prints(name):
    """`user-data render` prints the example; ACCEPT=1 rewrites it."""
    done = agent("user-data", *render_command(name))
    assert (done.returncode, done.stderr) == (0, "")
    if os.environ.get("ACCEPT") == "1":
        (STOCK / name).write_text(done.stdout)
    assert done.stdout == (STOCK / name).read_text()


@pytest.mark.parametrize("name", RENDERED)
def test_an_example_of_a_stock_ami_has_no_faults(name):
    """`user-data check` has no warning for its way, and shellcheck none for its script."""
    parts = stock_user_data(name)
    message = "".join(f"--B\nContent-Type: {kind}\n\n{text}\n" for kind, text in parts)
    text = f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="B"\n\n{message}--B--\n'
    done = agent("user-data", "check", "-", "--for", RENDERED[name], input=text)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    done = agent("user-data", "check", str(STOCK / name), input="")
    assert done.returncode == 0 or name.endswith(".tf"), done.stdout
    script = dict(parts)["text/x-shellscript"]
    done = subprocess.run([TOOLS / "shellcheck", "-"], input=script, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_readme_of_the_examples_shows_the_command():
    """The command in README.md is the one of the tests, with the values of an operator."""
    text = (EXAMPLES / "README.md").read_text()
    (arguments,) = [words for words in command_lines(text) if words[:2] == ["user-data", "render"]]
    shown = cli.parser().parse_args(arguments)
    assert (shown.way, shown.rpm, shown.region) == ("karpenter", "s3://my-bucket/eks-proxy-agent.rpm", "eu-west-1")
