"""packaging/examples: each file parsed by the tool that it is for, each command line by the agent's
own parser.
"""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from agent import cli

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "packaging/examples"
CASES = ROOT / "tests/boot/cases"
TOOLS = Path(sys.executable).parent
USER_DATA = sorted((EXAMPLES / "user-data").iterdir())

# What CloudFormation puts in for the boot of its user data.
PARAMETERS = {
    "ProxyUrl": "http://proxy.example.com:3128",
    "ClusterName": "my-cluster",
    "ApiServerEndpoint": "https://0123456789ABCDEF0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com",
    "CertificateAuthority": "TXkgY2x1c3RlcidzIENBLg==",
    "AWS::StackName": "my-nodes",
}
# What bakes an image, in this order: both ways of building one do just that.
BAKING = [
    "yum install -y /tmp/eks-proxy-agent.rpm",
    "install -m 0644 /tmp/config.toml /etc/eks-proxy-agent/config.toml",
    "eks-proxy-agent bake",
    "eks-proxy-agent clean",
    "rm /tmp/eks-proxy-agent.rpm /tmp/config.toml",
]


def command_lines(text):
    """The agent's arguments wherever text calls it: on a line of its own (continued ones joined) or
    between backticks.
    """
    joined = re.sub(r"\\\n\s*", "", text)
    called = r"^[ \t]*(?:- |\$ )?(?:sudo |exec )?eks-proxy-agent (.*)$|`(?:sudo )?eks-proxy-agent ([^`]+)`"
    return [shlex.split(line or inline, comments=True) for line, inline in re.findall(called, joined, re.MULTILINE)]


def agent(*arguments, **options):
    """Run the command as a person does."""
    command = [sys.executable, "-m", "agent", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, **options)


def settings_of(user_data, directory):
    """The settings, by SECTION.KEY, that a node with this user data comes to; fails when anything
    is wrong with them.
    """
    facts = {"instance_id": "i-0123456789abcdef0", "region": "eu-west-1", "vpc_cidrs_v4": ["10.0.0.0/16"]}
    (directory / "facts.json").write_text(json.dumps({**facts, "user_data": user_data}))
    flags = ["--root", str(directory), "--facts", str(directory / "facts.json")]
    checked = agent("config", "check", *flags)
    assert (checked.returncode, checked.stderr) == (0, "")
    shown = json.loads(agent("config", "show", "--json", *flags).stdout)
    return {f"{one['section']}.{one['key']}": one["value"] for one in shown}


# --- every file
# -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [*USER_DATA, EXAMPLES / "image-builder.yaml", ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))],
    ids=lambda path: path.name,
)
def test_every_command_line_is_one_that_the_agent_knows(path):
    """What a person copies from an example or a page is never refused as wrong usage."""
    for arguments in command_lines(path.read_text()):
        cli.parser().parse_args(arguments)


def test_the_index_names_every_example():
    """README.md there lists each file, and no file that is not there."""
    named = re.findall(r"^\| `([^`]+)` \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    files = [str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*") if path.is_file()]
    assert sorted(named) == sorted(name for name in files if name != "README.md")


# --- images
# ---------------------------------------------------------------------------------------------------------


def packer():
    """The Packer template; python-hcl2 leaves strings in their quotes."""
    import hcl2

    return hcl2.loads((EXAMPLES / "eks-node.pkr.hcl").read_text())


def unquoted(value):
    """An HCL string as text; a bare expression becomes what it is in a template."""
    return value[1:-1] if value.startswith('"') else value


def provisioners():
    """The provisioners in their order: kind and body."""
    ((build),) = packer()["build"]
    return [
        (unquoted(kind), body) for block in build["provisioner"] for kind, body in block.items() if kind[:2] != "__"
    ]


def test_packer_uploads_what_the_owner_names():
    """The package is a file of the owner's, the settings are those beside the template; nothing
    comes from a repository.
    """
    uploads = {unquoted(b["destination"]): unquoted(b["source"]) for kind, b in provisioners() if kind == "file"}
    assert uploads == {
        "/tmp/eks-proxy-agent.rpm": "${var.rpm}",
        "/tmp/config.toml": "${path.root}/config.toml",
    }


def test_packer_installs_bakes_and_cleans_in_this_order():
    """The one shell provisioner comes last, installs before it bakes, and cleans after
    everything.
    """
    kinds = [kind for kind, _ in provisioners()]
    assert kinds == ["file", "file", "shell"]
    steps = [unquoted(step).replace("sudo ", "") for step in provisioners()[-1][1]["inline"]]
    assert steps == BAKING


def image_builder():
    """The component document."""
    return yaml.safe_load((EXAMPLES / "image-builder.yaml").read_text())


def test_image_builder_component_is_as_awstoe_wants_it():
    """Keys, phases, actions and inputs are those of AWSTOE's document schema; each parameter used
    is declared.
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
        assert [set(one) for one in ([step["inputs"]] if kind is dict else step["inputs"]) if set(one) != keys] == []
    declared = {name for parameter in document["parameters"] for name in parameter}
    assert set(re.findall(r"{{ *([^ }]+) *}}", json.dumps(document["phases"]))) == declared


def test_image_builder_does_what_packer_does():
    """Both images are baked by the same commands, and the first that fails ends the build."""
    _, install = image_builder()["phases"][0]["steps"]
    assert install["inputs"]["commands"] == ["set -o errexit", *BAKING]


@pytest.mark.parametrize("phase", [0, 1], ids=["build", "test"])
def test_image_builder_scripts_pass_shellcheck(phase):
    """AWSTOE makes one bash script of a step's commands; shellcheck finds nothing in it."""
    commands = image_builder()["phases"][phase]["steps"][-1]["inputs"]["commands"]
    script = "\n".join(["#!/bin/bash", *commands, ""])
    done = subprocess.run([TOOLS / "shellcheck", "-"], input=script, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_image_builder_s_test_phase_tells_a_node_with_a_proxy_from_one_without(tmp_path):
    """Its grep finds the phase that a configured node writes, and nothing on a node whose user data
    lacks the proxy.
    """
    (look,) = [step for step in image_builder()["phases"][1]["steps"][0]["inputs"]["commands"] if "grep" in step]
    facts = {"instance_id": "i-0123456789abcdef0", "region": "eu-west-1", "vpc_cidrs_v4": ["10.0.0.0/16"]}
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    found = []
    for name, flags in (("with", ["--proxy", PARAMETERS["ProxyUrl"]]), ("without", [])):
        root = tmp_path / name
        root.mkdir()
        assert agent("apply", "--root", str(root), "--facts", str(tmp_path / "facts.json"), *flags).returncode == 0
        script = look.replace("/run/", f"{root}/run/")
        found.append(subprocess.run(["/bin/bash", "-ec", script], check=False, capture_output=True).returncode)
    assert found == [0, 1]


def test_the_images_settings_can_be_baked_and_cleaned(tmp_path):
    """With config.toml in a tree, bake and clean succeed there, leave docker its drop-in, and no
    proxy of the builder.
    """
    settings = tmp_path / "etc/eks-proxy-agent/config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text((EXAMPLES / "config.toml").read_text())
    (tmp_path / "etc/environment").write_text("LANG=C.UTF-8\nhttp_proxy=http://builder.example.com:1\n")
    for step in ("bake", "clean"):
        assert f"eks-proxy-agent {step}" in BAKING
        done = agent(step, "--root", str(tmp_path))
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "etc/systemd/system/docker.service.d/90-eks-proxy.conf").exists()
    assert (tmp_path / "etc/environment").read_text() == "LANG=C.UTF-8\n"


# --- CloudFormation
# -------------------------------------------------------------------------------------------------


def cfn_lint(path):
    """What cfn-lint says of a template, one line a finding."""
    pytest.importorskip("cfnlint", reason="cfn-lint needs Python 3.10")
    command = [TOOLS / "cfn-lint", "--format", "parseable", "--include-checks", "I", "--", path]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def template():
    """The template as CloudFormation understands it, `!Sub` and its kind as Fn::Sub."""
    pytest.importorskip("cfnlint", reason="cfn-lint needs Python 3.10")
    from cfnlint.decode import cfn_yaml

    return cfn_yaml.load(str(EXAMPLES / "node-group.yaml"))


def rendered_user_data():
    """The template's user data with PARAMETERS in their places."""
    text = template()["Resources"]["NodeTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"][
        "Fn::Sub"
    ]
    return re.sub(r"\${([^}]+)}", lambda match: PARAMETERS[match.group(1)], text)


def test_cfn_lint_finds_nothing():
    """Not an error, a warning or a hint."""
    assert cfn_lint(EXAMPLES / "node-group.yaml") == ""


def test_cfn_lint_would_find_something(tmp_path):
    """A misspelt property and a reference to nothing are found, so that silence means something."""
    text = (EXAMPLES / "node-group.yaml").read_text()
    bad = tmp_path / "bad.yaml"
    bad.write_text(text.replace("UserData:", "UserDate:").replace("!Ref SubnetIds", "!Ref Subnets"))
    said = cfn_lint(bad)
    assert "UserDate" in said
    assert "Subnets" in said


def test_image_builder_component_fits_into_a_template(tmp_path):
    """CloudFormation takes the component as the Data of an AWS::ImageBuilder::Component."""
    data = (EXAMPLES / "image-builder.yaml").read_text()
    properties = {"Name": "eks-proxy-agent", "Version": "1.0.0", "Platform": "Linux", "Data": data}
    resource = {"Type": "AWS::ImageBuilder::Component", "Properties": properties}
    (tmp_path / "component.json").write_text(
        json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Component": resource}})
    )
    assert cfn_lint(tmp_path / "component.json") == ""


def test_the_group_waits_for_the_signal_that_the_agent_sends(tmp_path):
    """The agent signals the resource that waits, before the stack gives up, on creation as on
    update.
    """
    resources = template()["Resources"]
    settings = settings_of(rendered_user_data(), tmp_path)
    group = resources[settings["signal.resource"]]
    minutes = group["CreationPolicy"]["ResourceSignal"]["Timeout"]
    update = group["UpdatePolicy"]["AutoScalingRollingUpdate"]
    assert (update["WaitOnResourceSignals"], update["PauseTime"]) == (True, minutes)
    assert settings["bootstrap.timeout"] < 60 * int(re.fullmatch(r"PT(\d+)M", minutes).group(1))


def test_the_groups_user_data_is_booted():
    """The boot case example-cloudformation has the very user data that the template gives for
    PARAMETERS.
    """
    assert (CASES / "example-cloudformation/user-data").read_text() == rendered_user_data()


# --- the cluster
# ----------------------------------------------------------------------------------------------------


def test_the_rights_name_what_the_agent_writes_and_patches():
    """The roles name the ConfigMap and the default workloads of the code, bind no one but our
    groups, and have no wildcard.
    """
    from agent.core.cluster.objects import NAME
    from agent.core.settings.workloads import DEFAULT_WORKLOADS

    objects = list(yaml.safe_load_all((EXAMPLES / "cluster-rbac.yaml").read_text()))
    rules = [rule for one in objects for rule in one.get("rules", ())]
    named = {
        (resource, name) for rule in rules for resource in rule["resources"] for name in rule.get("resourceNames", ())
    }
    workloads = {(f"{workload.kind.lower()}s", workload.name) for workload in DEFAULT_WORKLOADS}
    assert named == workloads | {("configmaps", NAME), ("secrets", NAME), ("services", "kubernetes")}
    assert "*" not in json.dumps(rules)
    subjects = {subject["name"] for one in objects for subject in one.get("subjects", ())}
    assert subjects == {"eks-proxy-agent", "eks-proxy-agent-verify"}
    roles = {(one["kind"], one["metadata"]["name"], one["metadata"].get("namespace")) for one in objects}
    for one in objects:
        if "roleRef" in one:
            assert (one["roleRef"]["kind"], one["roleRef"]["name"], one["metadata"].get("namespace")) in roles


# --- user data
# ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", USER_DATA, ids=lambda path: path.name)
def test_every_form_of_user_data_is_booted(path):
    """A boot case of that name has the example itself as its user data, not a copy that may grow
    old.
    """
    assert (CASES / f"example-{path.name}" / "user-data").resolve() == path


@pytest.mark.parametrize("name", ["settings", "settings-nodeconfig"])
def test_settings_in_user_data_are_right(name, tmp_path):
    """`config check` finds nothing in them, and they name the proxy."""
    found = settings_of((EXAMPLES / "user-data" / name).read_text(), tmp_path)
    assert found["proxy.url"] == [PARAMETERS["ProxyUrl"]]


@pytest.mark.parametrize("name", ["apply", "bootstrap"])
def test_scripts_in_user_data_are_one_command(name):
    """Beside its comments, a script is one call of the agent that names the proxy."""
    text = (EXAMPLES / "user-data" / name).read_text()
    (arguments,) = command_lines(text)
    assert (arguments[0], cli.parser().parse_args(arguments).proxy) == (name, PARAMETERS["ProxyUrl"])
    assert len([line for line in re.sub(r"\\\n", "", text).splitlines() if not line.startswith("#")]) == 1
