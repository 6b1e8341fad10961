"""Reader of CA bundles, with certificates that openssl made."""

import time

import pytest

from agent.edges.ca_bundle import read_bundle
from tests.integration import certificates


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Return name of a file → its text."""
    directory = certificates.make(tmp_path_factory.mktemp("certificates"))
    return {path.name: path.read_bytes().decode("ascii", "replace") for path in directory.iterdir()}


def test_a_bundle_of_cas_is_read(samples):
    """Each CA has a summary; the PEM text has only the certificates, in their order."""
    first, second = samples["Corp Proxy CA.pem"], samples["Second CA.pem"]
    bundle = read_bundle("# our CAs, für alle\n" + first.replace("\n", "\r\n") + "\n\n" + second)
    assert bundle.pem.decode() == first + second
    assert [line.partition(", CA, valid until 20")[0] for line in bundle.summaries] == ["Corp Proxy CA", "Second CA"]
    assert bundle.warnings == ()


def test_text_around_a_certificate_is_removed(samples):
    """`openssl x509 -text` writes a description before the certificate."""
    assert read_bundle(samples["with text.pem"]).pem.decode() == samples["Corp Proxy CA.pem"]


def test_an_expired_ca_is_a_warning(samples):
    """The clock may be wrong, and the operator may know better: it is accepted with a warning."""
    bundle = read_bundle(samples["Corp Proxy CA.pem"] + samples["Expired CA.pem"])
    assert bundle.pem.decode() == samples["Corp Proxy CA.pem"] + samples["Expired CA.pem"]
    (warning,) = bundle.warnings
    assert warning.startswith("certificate 2 (Expired CA) expired on 20")
    assert bundle.not_after == read_bundle(samples["Corp Proxy CA.pem"]).not_after
    only = read_bundle(samples["Expired CA.pem"])
    assert time.strftime("%Y-%m-%d", time.gmtime(only.not_after)) == "2021-01-01"


def cut(text):
    """Return the first half of a PEM block."""
    return text[: len(text) // 2]


@pytest.mark.parametrize(
    ("files", "change", "message"),
    [
        (["Corp Proxy CA.pem", "Corp Proxy CA.key"], None, "contains a private key"),
        (["Corp Proxy CA.key"], None, "contains a private key"),
        (["Corp Proxy CA.pem", "Corp Proxy CA.key"], cut, "contains a private key"),
        (["Corp Proxy CA.pem", "leaf.corp.pem"], None, "certificate 2: not a CA certificate"),
        (["Corp Proxy CA.pem", "Second CA.pem"], cut, "truncated"),
        (["Second CA.pem"], cut, "truncated"),
        (["der"], None, "expected PEM certificates"),
        ([], None, "expected PEM certificates"),
        (["Second CA.pem"], lambda text: text.replace("M", "\ufffd"), "certificate 1: cannot be parsed"),
        (["Second CA.pem"], lambda text: text.replace("M", "!"), "certificate 1: cannot be parsed"),
        (["Second CA.pem"], lambda text: text.replace("MII", "AAA"), "certificate 1: cannot be parsed"),
        (["Second CA.pem"], lambda text: text.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), "and nothing else"),
    ],
)
def test_anything_else_is_refused(samples, files, change, message):
    """Keys, servers' certificates and damaged files are refused; `change` damages the last file."""
    texts = [samples[name] for name in files]
    if change:
        texts[-1] = change(texts[-1])
    with pytest.raises(ValueError, match=message):
        read_bundle("".join(texts))


def test_beginnings_without_an_end_are_refused_in_linear_time():
    """The rest of a file of the largest size is not searched again at each beginning."""
    with pytest.raises(ValueError, match="truncated"):
        read_bundle("-----BEGIN CERTIFICATE-----\n" * 140_000)
