"""The RPM that late installation fetches: where it is, and its SHA-256.  Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from agent.core.net.proxy_url import quoted
from agent.core.record import record
from agent.core.settings import parsers
from agent.errors import UsageError

NAME = "eks-proxy-agent"

#: What begins an RPM (lead, "Package File Format" of the RPM documentation); the name and the
#: version follow from byte 10 on, in 66 bytes.
_MAGIC, _LEAD_NAME = b"\xed\xab\xee\xdb", slice(10, 76)
#: Parts of the query that make a URL a secret, which also expires: presigned URLs.
_SIGNATURES = re.compile(
    r"(?i)[?&](?:x-amz-(?:signature|credential|security-token)|signature|sig|token|awsaccesskeyid)="
)


@record
class Package:
    """A package at an http://, https:// or s3:// URL; `region` is that of the bucket."""

    url: str
    sha256: str
    region: str = ""

    @property
    def is_in_s3(self) -> bool:
        return self.url.startswith("s3://")

    @property
    def bucket_and_key(self) -> tuple[str, str]:
        bucket, _, key = self.url[len("s3://") :].partition("/")
        return bucket, key


def read_package(url: str, sha256: str, region: str, of_file: str = "") -> Package:
    """Return the package of these flags; `of_file` is the SHA-256 of --rpm-file, if it was given.

    Raises UsageError.
    """
    shown = f"--rpm {quoted(url)}"
    if any(not 0x21 <= ord(char) <= 0x7E or char in "\"'`\\" for char in url):
        raise UsageError(f"{shown}: contains a blank, a quote or another special character; percent-encode it")
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme not in ("http", "https", "s3"):
        raise UsageError(f"{shown}: expected https://HOST/PATH, http://HOST/PATH or s3://BUCKET/KEY")
    url = scheme + url[len(scheme) :]
    if "@" in urlsplit(url).netloc:
        raise UsageError("--rpm: contains user info, which user data would show; use s3:// or a URL without it")
    if _SIGNATURES.search(url):
        raise UsageError("--rpm: is a presigned URL, which is a secret and expires; use s3://BUCKET/KEY")
    package = Package(url, _digest(sha256, of_file), region)
    if package.is_in_s3:
        _check_bucket(shown, package)
    elif not urlsplit(url).netloc or not urlsplit(url).path.strip("/"):
        raise UsageError(f"{shown}: expected {scheme}://HOST/PATH")
    return package


def _check_bucket(shown: str, package: Package) -> None:
    bucket, key = package.bucket_and_key
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket) or not key or key.endswith("/"):
        raise UsageError(f"{shown}: expected s3://BUCKET/KEY")
    if not package.region:
        raise UsageError(f"{shown}: the region of the bucket is unknown; add --region REGION")


def read_region(text: str) -> str:
    """Return the value of --region.  Raises UsageError."""
    try:
        return parsers.region(text)
    except ValueError as error:
        raise UsageError(f"--region: {error}") from None


def _digest(sha256: str, of_file: str) -> str:
    digest = sha256.lower()
    if digest and not re.fullmatch("[0-9a-f]{64}", digest):
        raise UsageError(f"--sha256 {quoted(sha256)}: expected 64 hexadecimal digits, as sha256sum prints them")
    if digest and of_file and digest != of_file:
        raise UsageError(f"--sha256: differs from the SHA-256 of --rpm-file, {of_file}")
    if not (digest or of_file):
        raise UsageError(
            "--rpm: requires --sha256 HEX or --rpm-file FILE; nodes would otherwise install whatever the URL serves"
        )
    return digest or of_file


def check_lead(path: str, content: bytes) -> None:
    """Raise UsageError if the content of --rpm-file is not a package of the agent."""
    if not content.startswith(_MAGIC):
        raise UsageError(f"--rpm-file {path}: is not an RPM")
    name = content[_LEAD_NAME].partition(b"\0")[0].decode("latin-1")
    if not name.startswith(NAME + "-"):
        raise UsageError(f"--rpm-file {path}: is the package {quoted(name)}; expected {NAME}")
