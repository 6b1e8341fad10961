"""AWS services' DNS names, right for the region and the partition.

Bare names, because a bare name in NO_PROXY covers itself and all below it in every client: `s3.REGION.DOMAIN` covers
each bucket, `dkr.ecr.REGION.DOMAIN` each account's registry.  Source: the service endpoints pages of the AWS General
Reference and "Making requests to Amazon S3 over IPv6" (dualstack names).
"""

from __future__ import annotations

from typing import Dict, Tuple

#: Service → templates; `{r}` is the region, `{d}` the partition's DNS domain (amazonaws.com, amazonaws.com.cn).
_PATTERNS: Dict[str, Tuple[str, ...]] = {
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

#: Dual-stack names live under other domains, in the standard partition only.
_DUAL_STACK: Dict[str, Tuple[str, ...]] = {
    "ec2": ("ec2.{r}.api.aws",),
    "ecr": ("ecr.{r}.api.aws", "dkr-ecr.{r}.on.aws"),
    "eks": ("eks.{r}.api.aws",),
}

SERVICES: Tuple[str, ...] = tuple(sorted(_PATTERNS))


def service_names(service: str, region: str, domain: str, partition: str) -> Tuple[str, ...]:
    """The names under which `service` (one of SERVICES) is reached in `region`, sorted."""
    patterns = _PATTERNS[service]
    if partition == "aws":
        patterns += _DUAL_STACK.get(service, ())
    names = {pattern.format(r=region, d=domain) for pattern in patterns}
    if service == "s3" and partition == "aws":
        names.add("s3.amazonaws.com")  # the legacy global name; older SDKs and scripts still use it
    return tuple(sorted(names))


def cluster_endpoint_suffix(region: str, domain: str) -> str:
    """What the API endpoints of all EKS clusters of the region end in, e.g. `.us-east-1.eks.amazonaws.com`."""
    return ".%s.eks.%s" % (region, domain)
