"""Certificate authority of the cluster, API server's certificate, and key of service accounts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.boot.harness.command import run


def create(directory: Path, address: str, names: Sequence[str]) -> None:
    """Write ca.crt, apiserver.{key,crt} for an IP address and DNS names, and accounts.{key,pub}."""
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    authority = ["-x509", "-days", "2", "-subj", "/CN=test-ca", "-addext", "basicConstraints=critical,CA:TRUE"]
    run(["openssl", "req", *ec, *authority, "-keyout", "ca.key", "-out", "ca.crt"], cwd=directory)
    run(
        ["openssl", "req", *ec, "-subj", "/CN=kube-apiserver", "-keyout", "apiserver.key", "-out", "apiserver.csr"],
        cwd=directory,
    )
    alternative_names = ",".join([f"IP:{address}", "DNS:localhost", *(f"DNS:{name}" for name in names)])
    (directory / "extensions").write_text(f"subjectAltName={alternative_names}\nextendedKeyUsage=serverAuth\n")
    sign = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "extensions"]
    run(["openssl", "x509", "-req", "-in", "apiserver.csr", *sign, "-out", "apiserver.crt"], cwd=directory)
    run(["openssl", "genrsa", "-out", "accounts.key", "2048"], cwd=directory)
    run(["openssl", "rsa", "-in", "accounts.key", "-pubout", "-out", "accounts.pub"], cwd=directory)
