"""node.ca_bundle in a tree: planned, written to the trust store's directory, refused, reverted."""

import json
import re
import subprocess

import pytest

from tests.integration import certificates
from tests.integration.command_line import PROXY, Node

DIRECTORIES = {
    "etc/pki/ca-trust/source/anchors": "eks-proxy-agent.pem",  # Amazon Linux
    "usr/local/share/ca-certificates": "eks-proxy-agent.crt",  # Debian
}


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Return a directory with certificates of every kind."""
    return certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=DIRECTORIES)
def node(request, tmp_path):
    """Return a node of each distribution; `anchor` is the path of the agent's file."""
    node = Node(tmp_path)
    (node.root / request.param).mkdir(parents=True)
    node.anchor = f"{request.param}/{DIRECTORIES[request.param]}"
    return node


def settings(node, value):
    """Write settings with that CA: a path, or PEM text."""
    text = f'"{value}"' if value.startswith("/") else f'"""\n{value}"""'
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[node]\nunits = ["docker"]\nca_bundle = {text}\n')


def test_a_file_of_cas_is_planned_written_and_reverted(node, samples):
    """`plan` lists the certificates, `apply` writes only these, once, and `revert` removes them."""
    bundle = b"".join((samples / name).read_bytes() for name in ("Corp Proxy CA.pem", "Expired CA.pem"))
    node.write("etc/corp.pem", b"# ours\n" + bundle)
    settings(node, "/etc/corp.pem")
    before = node.tree()
    plan = node.main("plan")
    assert plan.code == 3
    assert "node.ca_bundle: Corp Proxy CA, CA, valid until 20" in plan.err
    assert "warning: node.ca_bundle: certificate 2 (Expired CA) expired on 2021-01-01" in plan.err
    assert node.main("apply").code == 0
    assert node.read(node.anchor).encode() == bundle
    not_after = json.loads(node.read("run/eks-proxy-agent/status.json"))["ca_not_after"]
    assert not_after > "2021-01-02", "of the certificate that is still valid"
    assert f"node.ca_bundle: Corp Proxy CA, CA, valid until {not_after[:10]}" in plan.err
    stamps = node.stamps()
    assert node.main("apply").code == 0
    assert node.stamps() == stamps
    assert node.main("revert").code == 0
    # No tool runs in a tree: a note remains in the state that the store must be rebuilt.
    assert node.tree("var/lib/eks-proxy-agent") == before


def test_the_settings_may_hold_the_pem_text(node, samples):
    """PEM text in the settings works like a file, also with a comment; a new text replaces it."""
    for name, comment in (("Corp Proxy CA.pem", ""), ("Second CA.pem", "# the new one\n")):
        settings(node, comment + (samples / name).read_text())
        assert node.main("apply").code == 0
        assert node.read(node.anchor) == (samples / name).read_text()
    node.settings(f'[proxy]\nurl = "{PROXY}"\n')
    assert node.main("apply").code == 0
    assert node.read(node.anchor) == ""


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["Corp Proxy CA.pem", "Corp Proxy CA.key"], "a private key"),
        (["leaf.corp.pem"], "certificate 1: not a CA certificate"),
    ],
)
def test_a_key_or_a_server_s_certificate_is_never_written(node, samples, names, message, inline):
    """Nothing is written, and the error names the setting and repeats no part of the key."""
    text = "".join((samples / name).read_text() for name in names)
    node.write("etc/corp.pem", text.encode(), 0o600)
    settings(node, text if inline else "/etc/corp.pem")
    before = node.tree()
    for command in ("plan", "apply"):
        done = node.main(command)
        assert done.code in (1, 78)
        assert "node.ca_bundle" in done.err
        assert message in done.err
        assert text.splitlines()[-3] not in done.both
    assert node.tree() == before


def test_a_missing_file_and_a_missing_trust_store_are_errors(node, samples):
    """Both are mistakes of the image, and the error names what is missing."""
    settings(node, "/etc/gone.pem")
    assert "node.ca_bundle: /etc/gone.pem: no such file" in node.main("apply").err
    settings(node, (samples / "Second CA.pem").read_text())
    (node.root / node.anchor).parent.rmdir()
    assert "neither update-ca-trust nor update-ca-certificates" in node.main("apply").err


def test_a_tree_with_the_ca_has_nothing_to_do(node, samples):
    """The trust store of a tree is rebuilt at its first boot; until then nothing is pending."""
    node.write("etc/corp.pem", (samples / "Corp Proxy CA.pem").read_bytes())
    settings(node, "/etc/corp.pem")
    assert node.main("apply").code == 0
    assert node.main("apply").out == "nothing to do: the node is as planned\n"
    assert node.main("plan").code == 0
    assert node.main("revert").code == 0
    assert node.main("revert").out == "nothing to do: the agent has not changed any file\n"


def as_one_line(text, joint):
    """Return PEM text with its line ends replaced."""
    return joint.join(text.strip().splitlines()).encode()


def openssl(*arguments, stdin):
    """Return the output of openssl."""
    return subprocess.run(["openssl", *arguments], input=stdin, check=True, capture_output=True).stdout


OTHER_FORMS = {
    "DER": lambda ca: openssl("x509", "-outform", "der", stdin=ca),
    "PKCS#7": lambda ca: openssl("crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", stdin=ca),
    "PKCS#7 in DER": lambda ca: openssl("crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", "-outform", "der", stdin=ca),
    "without its line ends, lost": lambda ca: as_one_line(ca.decode(), ""),
    "without its line ends, as blanks": lambda ca: as_one_line(ca.decode(), " ") + b"\r\n",
    "without its line ends, as text": lambda ca: as_one_line(ca.decode(), "\\n"),
    "without its line ends, no BEGIN": lambda ca: b"".join(ca.splitlines(keepends=True)[1:-1]),
}


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_the_proposed_command_converts_another_form(form, node, samples):
    """The error names the form; the command it proposes makes a file that is accepted."""
    node.write("etc/corp ca.cer", OTHER_FORMS[form]((samples / "Corp Proxy CA.pem").read_bytes()))
    settings(node, "/etc/corp ca.cer")
    done = node.main("plan")
    assert done.code == 1
    assert "node.ca_bundle: /etc/corp ca.cer: " in done.err
    assert form.partition(",")[0] in done.err
    command = re.search(r"(?:convert it|restore them): (.*)", done.err).group(1)
    converted = command.replace("/etc/corp ca.cer", str(node.root / "etc/corp ca.cer"))
    subprocess.run(["sh", "-c", converted], check=True, stderr=subprocess.PIPE)
    settings(node, "/etc/corp ca.cer.pem")
    assert node.main("apply").code == 0
    assert "BEGIN CERTIFICATE" in node.read(node.anchor)


def test_pem_text_on_one_line_in_the_settings_is_named(node, samples):
    """There is no file then, so the command has FILE."""
    settings(node, as_one_line((samples / "Second CA.pem").read_text(), " ").decode())
    done = node.main("plan")
    assert "node.ca_bundle: a certificate without its line ends" in done.err
    assert " FILE | " in done.err
