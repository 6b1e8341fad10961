"""Sections and keys of the TOML settings, and what each key may be.

One line a key.  `parse` turns a TOML value into ours or raises ValueError.  `allowed` describes the
allowed values in error texts and documentation.  `unset` is how a file writes None.  Layers are
parsed and merged in layers.py.
"""

from __future__ import annotations

from typing import Any, Callable

from agent.core.net.aws_endpoints import SERVICES
from agent.core.net.proxy_url import ProxyUrl
from agent.core.noproxy.entries import OperatorEntry
from agent.core.record import field, record
from agent.core.settings import parsers
from agent.core.settings.unit_table import DEFAULT_UNITS, service_unit
from agent.core.settings.workloads import DEFAULT_WORKLOADS, Workload, parse_workload


def _key(default: Any, parse: Callable[[Any], Any], allowed: str, *, unset: str = "auto") -> Any:
    return field(default=default, metadata={"parse": parse, "allowed": allowed, "unset": unset})


#: The keys that say where the proxy's credentials are.
CREDENTIALS_KEYS = ("credentials_file", "credentials_command", "credentials")


@record
class Proxy:
    url: tuple[ProxyUrl, ...] = _key(
        (), parsers.proxy_urls, "http://HOST:PORT or https://HOST:PORT, or a list of them in order of preference"
    )
    https_url: ProxyUrl | None = _key(
        None,
        parsers.optional_proxy_url,
        "http://HOST:PORT or https://HOST:PORT, if https:// URLs have another proxy",
        unset="",
    )
    credentials_file: str = _key(
        "", parsers.credentials_path, "the absolute path of a file that root owns, with mode 0600"
    )
    credentials_command: tuple[str, ...] = _key(
        (), parsers.credentials_command, "a list of strings, the program and its arguments; it prints USER:PASSWORD"
    )
    credentials: str = _key("", parsers.systemd_credential, '"systemd:NAME", a credential of the agent\'s unit')
    credentials_in_yum: bool = _key(False, parsers.boolean, "true or false")
    no_proxy: tuple[OperatorEntry, ...] = _key(
        (), parsers.owner_entries, "a list of names, .suffixes, addresses and CIDRs"
    )

    @property
    def credentials_keys(self) -> tuple[str, ...]:
        """Return the keys that say where the credentials are; with valid settings at most one."""
        return tuple(key for key in CREDENTIALS_KEYS if getattr(self, key))


@record
class Cluster:
    name: str = _key("", parsers.cluster_name, "an EKS cluster name")
    endpoint: str = _key("", parsers.endpoint_host, "https://HOST of the API server")
    endpoint_access: str = _key(
        "auto",
        parsers.one_of("auto", "private", "public"),
        '"auto" (probed), "private" (reached directly) or "public" (through the proxy)',
    )
    service_cidr: str = _key("auto", parsers.cidr_or_auto, '"auto" or a CIDR such as 172.20.0.0/16')
    domain: str = _key("cluster.local", parsers.dns_domain, "a DNS domain such as cluster.local")
    workloads: tuple[Workload, ...] = _key(
        DEFAULT_WORKLOADS,
        parsers.list_of(parse_workload),
        "a list of NAMESPACE/KIND/NAME; KIND is daemonset, deployment or statefulset",
    )
    injection: str = _key(
        "auto",
        parsers.one_of("auto", "policy", "envFrom"),
        '"auto", "policy" (by the API server, for any pod) or "envFrom" (in the templates of cluster.workloads)',
    )
    ca_in_pods: bool = _key(False, parsers.boolean, "true or false")
    ca_base: str = _key("", parsers.optional_path, "the absolute path of a file of PEM certificates")
    kubectl: str = _key("kubectl", parsers.program, "a name that is found on PATH, or an absolute path")


@record
class Aws:
    direct: tuple[str, ...] | None = _key(
        None,
        parsers.auto_or(parsers.list_of(parsers.aws_service)),
        '"auto" (probed) or a list of hosts and of ' + ", ".join(SERVICES),
    )


@record
class Vpc:
    cidrs: tuple[str, ...] | None = _key(
        None, parsers.cidrs_or_auto, '"auto" (from the metadata service) or a list of CIDRs'
    )
    pod_cidrs: tuple[str, ...] = _key((), parsers.list_of(parsers.cidr), "a list of CIDRs")


@record
class Node:
    units: tuple[str, ...] = _key(
        DEFAULT_UNITS, parsers.list_of(service_unit), "a list of systemd services, such as docker"
    )
    enable: tuple[str, ...] | None = _key(
        None,
        parsers.auto_or(parsers.list_of(service_unit)),
        '"auto" (docker where it is used) or a list of systemd services to enable and start',
    )
    environment: bool = _key(True, parsers.boolean, "true or false")
    yum: bool = _key(True, parsers.boolean, "true or false")
    ca_bundle: str = _key("", parsers.ca_bundle, "an absolute path, or PEM certificates")


@record
class Metadata:
    endpoint: str = _key("http://169.254.169.254", parsers.metadata_endpoint, "http://HOST or http://HOST:PORT")
    deadline: float | None = _key(
        None, parsers.seconds_or_auto, '"auto" (60 s for a boot, 2 s for a command), or seconds above 0 and up to 3600'
    )


@record
class Bootstrap:
    enabled: bool = _key(False, parsers.boolean, "true or false")
    command: str = _key("/etc/eks/bootstrap.sh", parsers.path, "an absolute path")
    arguments: tuple[str, ...] = _key((), parsers.list_of(parsers.argument, repeated=True), "a list of strings")
    timeout: float = _key(1800.0, parsers.seconds, "seconds above 0 and up to 3600")


@record
class Signal:
    command: str = _key("/opt/aws/bin/cfn-signal", parsers.path, "an absolute path")
    stack: str = _key("", parsers.argument, "a stack name or ARN")
    resource: str = _key("", parsers.argument, "a logical resource ID")
    region: str = _key("", parsers.region, "an AWS region; by default the instance's own")
    timeout: float = _key(900.0, parsers.seconds, "seconds above 0 and up to 3600")


@record
class Watch:
    interval: float = _key(600.0, parsers.interval, "seconds from 10 up to 86400")
    credentials_interval: float = _key(3600.0, parsers.interval, "seconds from 10 up to 86400")
    restart: str = _key("never", parsers.one_of("never", "changed"), '"never" or "changed"')
    failover_after: float | None = _key(
        600.0, parsers.never_or(parsers.interval), '"never", or seconds from 10 up to 86400', unset="never"
    )
    metrics: str | None = _key(
        None,
        parsers.auto_or(parsers.optional_path),
        '"auto", the directory of node_exporter\'s textfile collector, or "" for none',
    )


@record
class Check:
    endpoints: tuple[str, ...] | None = _key(
        None, parsers.auto_or(parsers.list_of(parsers.host_and_port)), '"auto" or a list of HOST or HOST:PORT'
    )


@record
class Failure:
    policy: str = _key("open", parsers.one_of("open", "closed"), '"open" or "closed"')
    preflight: str = _key("warn", parsers.one_of("off", "warn"), '"off" or "warn"')


@record
class Settings:
    """All sections; the default of each key is its value with an empty settings file."""

    proxy: Proxy = field(factory=Proxy)
    cluster: Cluster = field(factory=Cluster)
    aws: Aws = field(factory=Aws)
    vpc: Vpc = field(factory=Vpc)
    node: Node = field(factory=Node)
    metadata: Metadata = field(factory=Metadata)
    bootstrap: Bootstrap = field(factory=Bootstrap)
    signal: Signal = field(factory=Signal)
    watch: Watch = field(factory=Watch)
    check: Check = field(factory=Check)
    failure: Failure = field(factory=Failure)


#: Section → its class, in the order of `config show`.
SECTIONS: dict[str, Any] = {
    "proxy": Proxy,
    "cluster": Cluster,
    "aws": Aws,
    "vpc": Vpc,
    "node": Node,
    "metadata": Metadata,
    "bootstrap": Bootstrap,
    "signal": Signal,
    "watch": Watch,
    "check": Check,
    "failure": Failure,
}
