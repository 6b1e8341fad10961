"""DNS names of AWS services, by region and partition.

The names have no leading dot: in NO_PROXY such a name covers itself and its subdomains in every
client. `s3.REGION.DOMAIN` covers each bucket, `dkr.ecr.REGION.DOMAIN` each account's registry.
Source: the service endpoints pages of the AWS General Reference, and "Making requests to Amazon S3
over IPv6" (dual-stack names).
"""

from __future__ import annotations

#: Service → templates; `{r}` is the region, `{d}` the partition's DNS domain (amazonaws.com,
#: amazonaws.com.cn).
_PATTERNS: dict[str, tuple[str, ...]] = {
    "autoscaling": ("autoscaling.{r}.{d}",),
    "cloudformation": ("cloudformation.{r}.{d}",),
    "ec2": ("ec2.{r}.{d}",),
    "ecr": ("api.ecr.{r}.{d}", "dkr.ecr.{r}.{d}"),
    "eks": ("eks.{r}.{d}",),
    "elasticloadbalancing": ("elasticloadbalancing.{r}.{d}",),
    "logs": ("logs.{r}.{d}",),
    "s3": ("s3.{r}.{d}", "s3.dualstack.{r}.{d}", "s3-{r}.{d}"),
    "ssm": ("ssm.{r}.{d}", "ssmmessages.{r}.{d}", "ec2messages.{r}.{d}"),
    "sts": ("sts.{r}.{d}",),
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

SERVICES: tuple[str, ...] = tuple(sorted(_PATTERNS))


def service_names(service: str, region: str, domain: str, partition: str) -> tuple[str, ...]:
    """Return the DNS names of `service` (one of SERVICES) in `region`, sorted."""
    names = {pattern.format(r=region, d=domain) for pattern in _PATTERNS[service]}
    if partition in _DUAL_STACK_DOMAINS:
        apis, others = _DUAL_STACK_DOMAINS[partition]
        names |= {pattern.format(r=region, a=apis, o=others) for pattern in _DUAL_STACK.get(service, ())}
    if service == "s3" and partition == "aws":
        names.add("s3.amazonaws.com")  # the legacy global name; older SDKs and scripts still use it
    return tuple(sorted(names))


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
