"""The issuer of a certificate, read from its DER."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from agent.core.net import x509

#: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj '/O=Corp
#: AG/CN=Corp Proxy CA'
PEM = """
MIIBqDCCAU+gAwIBAgIUOWAG3Jw7/rj5nOlqjY1Ar7Uqaz4wCgYIKoZIzj0EAwIw
KjEQMA4GA1UECgwHQ29ycCBBRzEWMBQGA1UEAwwNQ29ycCBQcm94eSBDQTAeFw0y
NjExMjIyMzUwMzBaFw0yNjExMjMyMzUwMzBaMCoxEDAOBgNVBAoMB0NvcnAgQUcx
FjAUBgNVBAMMDUNvcnAgUHJveHkgQ0EwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAQJaJrR6hhbUQUfyWzo33f90bmw+hNhG4KTyf57NDgaUqLqkEjvIyADv3cp+QrH
twwEZyv4Q+8MPJmNEUK9MutBo1MwUTAdBgNVHQ4EFgQUclLIs97wU/t6je/1WnqP
PH6Vst4wHwYDVR0jBBgwFoAUclLIs97wU/t6je/1WnqPPH6Vst4wDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiBjmHocm1fqvidgMWTZFC1zhqfRWSoO
PPW11uN2lHzELgIgdFlqLJ1JhvdR42yJezcE/EsZfJJgs9YzyamWGyNb4oY=
"""
DER = base64.b64decode(PEM)


def test_issuer_is_organization_and_common_name():
    """The two fields identify a CA in a list of CAs."""
    assert x509.issuer(DER) == "Corp AG, Corp Proxy CA"


@given(st.binary(max_size=300))
def test_any_bytes_are_accepted(data):
    """Data that is not a certificate raises nothing."""
    assert isinstance(x509.issuer(data), str)


@given(st.integers(0, len(DER) - 1), st.integers(0, 255), st.integers(0, len(DER)))
def test_corrupt_certificate_is_accepted(index, byte, length):
    """A changed byte or a truncated certificate raises nothing."""
    corrupt = DER[:index] + bytes([byte]) + DER[index + 1 :]
    assert isinstance(x509.issuer(corrupt[:length]), str)
