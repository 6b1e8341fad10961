"""DNS names of AWS services, by region and partition.

The names have no leading dot: in NO_PROXY such a name covers itself and its subdomains in every
client. `s3.REGION.DOMAIN` covers each bucket, `dkr.ecr.REGION.DOMAIN` each account's registry.
Source: the service endpoints pages of the AWS General Reference, and "Making requests to Amazon S3
over IPv6" (dual-stack names).
"""

from __future__ import annotations

#: Service → templates; `{r}` is the region, `{d}` the partition's DNS domain (amazonaws.com,
#: amazonaws.com.cn), `{a}` its domain for dual-stack APIs.
_PATTERNS: dict[str, tuple[str, ...]] = {
    "autoscaling": ("autoscaling.{r}.{d}",),
    "cloudformation": ("cloudformation.{r}.{d}",),
    "ec2": ("ec2.{r}.{d}",),
    "ecr": ("api.ecr.{r}.{d}", "dkr.ecr.{r}.{d}"),
    "eks": ("eks.{r}.{d}",),
    "eks-auth": ("eks-auth.{r}.{a}",),
    "elasticfilesystem": ("elasticfilesystem.{r}.{d}",),
    "elasticloadbalancing": ("elasticloadbalancing.{r}.{d}",),
    "kms": ("kms.{r}.{d}",),
    "logs": ("logs.{r}.{d}",),
    "monitoring": ("monitoring.{r}.{d}",),
    "s3": ("s3.{r}.{d}", "s3.dualstack.{r}.{d}", "s3-{r}.{d}"),
    "secretsmanager": ("secretsmanager.{r}.{d}",),
    "sqs": ("sqs.{r}.{d}",),
    "ssm": ("ssm.{r}.{d}", "ssmmessages.{r}.{d}", "ec2messages.{r}.{d}"),
    "sts": ("sts.{r}.{d}",),
    "xray": ("xray.{r}.{d}",),
}

#: Dual-stack names have domains of their own: `{a}` for AWS APIs, `{o}` for everything else.
_DUAL_STACK: dict[str, tuple[str, ...]] = {
    "ec2": ("ec2.{r}.{a}",),
    "ecr": ("ecr.{r}.{a}", "dkr-ecr.{r}.{o}"),
    "eks": ("eks.{r}.{a}",),
}
_DUAL_STACK_DOMAINS: dict[str, tuple[str, str]] = {
    "aws": ("api.aws", "on.aws"),
    "aws-us-gov": ("api.aws", "on.aws"),
    "aws-cn": ("api.amazonwebservices.com.cn", "on.amazonwebservices.com.cn"),
}
#: The domain `{a}` of the other partitions, for eks-auth, which has no other name.  Source:
#: partitions.json of botocore.
_API_DOMAINS: dict[str, str] = {
    "aws-iso": "api.aws.ic.gov",
    "aws-iso-b": "api.aws.scloud",
    "aws-iso-e": "api.cloud-aws.adc-e.uk",
    "aws-iso-f": "api.aws.hci.ic.gov",
    "aws-eusc": "api.amazonwebservices.eu",
}

#: FIPS endpoints exist in the regions of the USA and Canada only.  Their name has -fips before the
#: region, except these.  Source: "FIPS endpoints by service" of AWS, and botocore; a test compares.
_FIPS_PARTITIONS = ("aws", "aws-us-gov")
_FIPS_REGIONS = ("us-", "ca-")
_FIPS: dict[str, tuple[str, ...]] = {
    "eks.{r}.{d}": ("fips.eks.{r}.{d}",),
    "s3.dualstack.{r}.{d}": ("s3-fips.dualstack.{r}.{d}",),
    "s3-{r}.{d}": (),
}
#: Services whose standard names in GovCloud are FIPS endpoints.
_FIPS_IN_GOVCLOUD = set("autoscaling cloudformation ec2 eks elasticloadbalancing logs monitoring sqs ssm sts".split())

SERVICES: tuple[str, ...] = tuple(sorted(_PATTERNS))


def service_names(service: str, region: str, domain: str, partition: str, *, fips: bool = False) -> tuple[str, ...]:
    """Return the DNS names of `service` (one of SERVICES) in `region`, sorted.

    With `fips` also those of its FIPS endpoints, which clients on a FIPS kernel use.
    """
    patterns = list(_PATTERNS[service])
    apis, others = _DUAL_STACK_DOMAINS.get(partition, (_API_DOMAINS.get(partition, ""), ""))
    if partition in _DUAL_STACK_DOMAINS:
        patterns += _DUAL_STACK.get(service, ())
    if fips:
        patterns += [name for pattern in patterns for name in _fips(pattern, service, region, partition)]
    names = {
        pattern.format(r=region, d=domain, a=apis, o=others) for pattern in patterns if apis or "{a}" not in pattern
    }
    if service == "s3" and partition == "aws":
        names.add("s3.amazonaws.com")  # the legacy global name; older SDKs and scripts still use it
    return tuple(sorted(names))


def fips_name(pattern: str, service: str, region: str, partition: str) -> str:
    """Return the pattern of the FIPS endpoint for the one of a service, or the same without one."""
    return next(iter(_fips(pattern, service, region, partition)), pattern)


def _fips(pattern: str, service: str, region: str, partition: str) -> tuple[str, ...]:
    if partition not in _FIPS_PARTITIONS or not region.startswith(_FIPS_REGIONS):
        return ()
    if partition == "aws-us-gov" and service in _FIPS_IN_GOVCLOUD and "{d}" in pattern:
        return ()
    return _FIPS.get(pattern, (pattern.replace(".{r}", "-fips.{r}"),))


def cluster_endpoint_suffixes(region: str, domain: str, partition: str, *, ipv6: bool) -> tuple[str, ...]:
    """Return the domain suffixes of all EKS API endpoints in the region.

    For example `.us-east-1.eks.amazonaws.com`. With `ipv6` also the suffix of IPv6 clusters, which
    have dual-stack names since October 2024.
    Source: "Cluster API server endpoint" in the EKS user guide.
    """
    suffixes = [f".{region}.eks.{domain}"]
    if ipv6 and partition in _DUAL_STACK_DOMAINS:
        suffixes.append(f".eks-cluster.{region}.{_DUAL_STACK_DOMAINS[partition][0]}")
    return tuple(suffixes)
