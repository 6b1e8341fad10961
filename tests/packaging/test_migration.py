"""docs/migration.md covers every line of the shell recipe, and its output is the real output."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/migration.md").read_text()
RECIPE = ROOT / "tests/boot/recipe/tree/usr/local/sbin/eks-proxy-recipe"
# Lines that our version of the recipe adds, so that it can run (tests/boot/recipe/README.md); the
# last ends a here-document.
ADDED = re.compile(r"#|\. /etc/eks-proxy-recipe.conf|IMDS=|until TOKEN=|sleep|done|EOF")
# Lines that our version omits: the head of the boothook, the bootstrap script, and the part for the
# cluster.
OTHERS = """\
Content-Type: text/cloud-boothook; charset="us-ascii"
PROXY="proxy.example.com:3128"
Content-Type: text/x-shellscript; charset="us-ascii"
set -o xtrace
set -a
source /etc/environment
/etc/eks/bootstrap.sh my-cluster
/opt/aws/bin/cfn-signal
--exit-code $? \\
--stack my-stack \\
--resource NodeGroup \\
--region eu-west-1 \\
--https-proxy $HTTPS_PROXY
kubectl get service kubernetes -o jsonpath='{.spec.clusterIP}'
name: proxy-environment-variables
kubectl patch -n kube-system daemonset aws-node
kubectl patch -n kube-system daemonset kube-proxy
kubectl set env daemonset/aws-node --namespace=kube-system
"""
LINES = [line.strip() for line in [*RECIPE.read_text().splitlines(), *OTHERS.splitlines()]]
PROXY = "http://proxy.example.com:3128"


def rows():
    """Yield the rows of the line-by-line chapters.

    Each has the fragments of the recipe's line, and their replacement.
    """
    chapters = "".join(re.findall(r"^## Line by line.*?(?=^## )", PAGE, re.MULTILINE | re.DOTALL))
    for recipe, replacement in re.findall(r"^\| (.*?) \| (.*?) \|$", chapters, re.MULTILINE):
        yield re.findall(r"`([^`]+)`", recipe), replacement


@pytest.mark.parametrize("line", [line for line in LINES if line and not ADDED.match(line)])
def test_every_line_of_the_recipe_has_a_row(line):
    """A fragment of each line is in a row with its replacement."""
    assert [text for fragments, text in rows() if text and any(fragment in line for fragment in fragments)]


def test_every_row_is_about_the_recipe():
    """Each fragment in the tables is part of a line of the recipe."""
    fragments = [fragment for row, _ in rows() for fragment in row]
    assert fragments
    assert [fragment for fragment in fragments if not any(fragment in line for line in LINES)] == []


def test_every_path_of_the_page_exists():
    """Paths of packaging/ on the page exist."""
    named = re.findall(r"`(packaging/[^`]+)`", PAGE)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_setting_of_the_page_exists():
    """Names such as proxy.url are those of `config show`."""
    sections = "proxy|cluster|aws|vpc|node|metadata|bootstrap|signal|failure"
    named = re.findall(rf"`((?:{sections})\.[a-z_]+)(?: = [^`]+)?`", PAGE)
    command = [sys.executable, "-m", "agent", "config", "show", "--json", "--root", str(ROOT / "docs")]
    shown = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    settings = set(named) - {"bootstrap.sh", "proxy.conf"}
    assert settings
    assert settings - {f"{setting['section']}.{setting['key']}" for setting in shown} == set()


def write_traces(root):
    """Write the files of two runs of the recipe, one before a pipeline added to yum.conf."""
    text = RECIPE.read_text().replace("$PROXY", PROXY[len("http://") :])
    variables = re.search(r">> /etc/environment\n(.*?)^EOF", text, re.MULTILINE | re.DOTALL).group(1)
    proxy = re.search(r">> /etc/yum.conf\n(.*?)^EOF", text, re.MULTILINE | re.DOTALL).group(1)
    drop_in = re.search(r"docker.service.d/proxy.conf .*?\n(.*?)^EOF", text, re.MULTILINE | re.DOTALL).group(1)
    mirror = "[mirror]\nproxy=_none_\n"
    files = {
        "etc/environment": "LANG=en_US.utf-8\n" + variables * 2,
        "etc/dnf/dnf.conf": f"[main]\n{proxy}{mirror}[main:exclude]\nexcludepkgs=kernel*\n{proxy * 2}",
        "etc/systemd/system/docker.service.d/proxy.conf": drop_in,
        "etc/systemd/system/kubelet.service.d/proxy.conf": drop_in,
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    (root / "etc/yum.conf").symlink_to("dnf/dnf.conf")
    return files


def agent(root, *arguments):
    """Run the command on a root, and return its output."""
    facts = root.parent / "facts.json"
    facts.write_text('{"instance_id": "i-0123456789abcdef0", "region": "eu-west-1", "vpc_cidrs_v4": ["10.0.0.0/16"]}')
    flags = [] if arguments[0] == "revert" else ["--facts", str(facts), "--proxy", PROXY]
    flags += ["--set", 'node.units=["docker", "kubelet"]'] if arguments[0] == "apply" else []
    command = [sys.executable, "-m", "agent", *arguments, "--root", str(root), *flags]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_apply_prints_the_output_of_the_page(tmp_path):
    """The page's example is the real output for the recipe's files, and revert restores these."""
    root = tmp_path / "root"
    files = write_traces(root)
    shown = re.search(r"^\$ eks-proxy-agent apply\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL).group(1)
    assert agent(root, "apply") == shown
    assert agent(root, "apply") == "nothing to do: the node is as planned\n"
    agent(root, "revert")
    assert {name: (root / name).read_text() for name in files} == files
