"""Certificates of every kind, made by the openssl program."""

import subprocess

#: Subject's name → what openssl req gets beside it.
KINDS = {
    "Corp Proxy CA": ["-days", "3650"],
    "Second CA": ["-days", "30", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
    "leaf.corp": ["-days", "30", "-addext", "basicConstraints=critical,CA:FALSE"],
}
#: Valid in 2020 (openssl ca -selfsign -startdate ... -enddate ...): openssl req makes no
#: certificate of the past.
EXPIRED = """\
-----BEGIN CERTIFICATE-----
MIIBSjCB8aADAgECAgEBMAoGCCqGSM49BAMCMBUxEzARBgNVBAMMCkV4cGlyZWQg
Q0EwHhcNMjAwMTAxMDAwMDAwWhcNMjEwMTAxMDAwMDAwWjAVMRMwEQYDVQQDDApF
eHBpcmVkIENBMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEr4HUGcpljOZAKrKY
Q2YFcTVoa9yojQeQTXusDCGTNP1wEyOSfQLPKSZTJJoOmM0A7eprnhY2dBPIh66A
tLSLFqMyMDAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUlpYMZvj+ur3yAMcg
WwlMj/SH7fcwCgYIKoZIzj0EAwIDSAAwRQIhANEYtJE0KJmg+hhYubvxaOH2nfaw
b/2r2R3zenF+0KYRAiApCJPCNz400Q+y5DwvgSQcSA5B8+1/2ZoR9DdPmMAH1A==
-----END CERTIFICATE-----
"""


def make(directory):
    """A file NAME.pem and NAME.key for each kind, one that expired, and `der`, which is not PEM."""
    (directory / "Expired CA.pem").write_text(EXPIRED)
    for name, options in KINDS.items():
        key = [] if "-newkey" in options else ["-newkey", "rsa:2048"]
        _openssl("req", "-x509", "-nodes", "-subj", "/CN=" + name, *key, *options,
                 "-keyout", directory / (name + ".key"), "-out", directory / (name + ".pem"))  # fmt: skip
    _openssl("x509", "-in", directory / "Corp Proxy CA.pem", "-outform", "DER", "-out", directory / "der")
    _openssl("x509", "-in", directory / "Corp Proxy CA.pem", "-text", "-out", directory / "with text.pem")
    return directory


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, stderr=subprocess.PIPE)
