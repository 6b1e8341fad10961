"""Cluster information from the arguments of bootstrap.sh and from NodeConfigs."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.core.facts.cluster_hints import (
    ClusterInfo,
    first_known,
    from_arguments,
    from_node_configs,
    unknown_service_cidr,
)
from agent.errors import AgentError

HOST = "abc.gr7.eu-central-1.eks.amazonaws.com"


def node_config(**cluster):
    """A NodeConfig as people write it."""
    return yaml.safe_dump({"apiVersion": "node.eks.aws/v1alpha1", "kind": "NodeConfig", "spec": {"cluster": cluster}})


@pytest.mark.parametrize(
    ("arguments", "name", "endpoint", "cidrs"),
    [
        ([], "", "", ()),
        (["my-cluster"], "my-cluster", "", ()),
        (["my-cluster", "--apiserver-endpoint", "https://ABC.corp"], "my-cluster", "abc.corp", ()),
        (["my-cluster", "--apiserver-endpoint=https://abc.corp:443/"], "my-cluster", "abc.corp", ()),
        (["--service-ipv4-cidr", "10.96.1.0/12", "my-cluster"], "", "", ("10.96.0.0/12",)),
        (["c", "--service-ipv6-cidr", "fd12::/108"], "c", "", ("fd12::/108",)),
        (
            ["c", "--service-ipv6-cidr", "fd12::/108", "--service-ipv4-cidr", "10.0.0.0/12"],
            "c",
            "",
            ("10.0.0.0/12", "fd12::/108"),
        ),
        (["c", "--apiserver-endpoint", "https://a.corp", "--apiserver-endpoint", "https://b.corp"], "c", "b.corp", ()),
        (["c", "--b64-cluster-ca", "LS0t", "--kubelet-extra-args", "--node-labels=a=b"], "c", "", ()),
        (["c", "--apiserver-endpoint", "", "--service-ipv4-cidr", ""], "c", "", ()),
        (["c", "--service-ipv4-cidr="], "c", "", ()),
        (["c", "--apiserver-endpoint"], "c", "", ()),
    ],
)
def test_reads_arguments(arguments, name, endpoint, cidrs):
    """Endpoint and service CIDRs are taken from bootstrap.sh's flags; bootstrap.sh ignores an
    empty value, and so does the agent.
    """
    hints = from_arguments(arguments)
    assert (hints.name, hints.endpoint, hints.service_cidrs) == (name, endpoint, cidrs)
    assert hints.source == "bootstrap arguments"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ["c", "--apiserver-endpoint", "http://a.corp"],
            'bootstrap arguments: endpoint: expected https://HOST, got "http://a.corp"',
        ),
        (["c", "--service-ipv4-cidr", "10.0.0.0"], 'bootstrap arguments: service CIDR: "10.0.0.0" is not a CIDR'),
        (["c", "--service-ipv4-cidr", "0.0.0.0/0"], "would bypass the proxy for every address"),
        (
            ["c", "--service-ipv4-cidr", "--apiserver-endpoint", "https://a.corp"],
            '"--apiserver-endpoint" is not a CIDR',
        ),
        (["my cluster"], 'bootstrap arguments: cluster name: "my cluster" is not an EKS cluster name'),
    ],
)
def test_refuses_arguments(arguments, problem):
    """A wrong value is refused by name, before it gets into NO_PROXY."""
    with pytest.raises(AgentError) as caught:
        from_arguments(arguments)
    assert problem in str(caught.value)


def test_reads_a_node_config():
    """Name, endpoint and service CIDR of the cluster; what else is in it does not matter."""
    text = node_config(
        name="my-cluster",
        apiServerEndpoint="https://" + HOST.upper(),
        cidr="10.100.0.0/16",
        certificateAuthority="LS0t",
    )
    assert from_node_configs([text]) == ClusterInfo("my-cluster", HOST, ("10.100.0.0/16",), "NodeConfig")


def test_a_later_node_config_wins_field_by_field():
    """Several documents are merged as nodeadm merges them; an empty field removes nothing."""
    first = node_config(name="one", apiServerEndpoint="https://a.corp", cidr="10.100.0.0/16")
    hints = from_node_configs([first, node_config(name="two", cidr="")])
    assert (hints.name, hints.endpoint, hints.service_cidrs) == ("two", "a.corp", ("10.100.0.0/16",))


@pytest.mark.parametrize(
    "text",
    [
        "kind: NodeConfig",
        "kind: NodeConfig\nspec:",
        "kind: NodeConfig\nspec: []",
        "kind: NodeConfig\nspec: {cluster: x}",
        "kind: NodeConfig\nspec: {cluster: {name: null, apiServerEndpoint: ~, cidr: }}",
        "kind: NodeConfig\nspec: {kubelet: {config: {maxPods: 110}}}",
    ],
)
def test_a_node_config_without_a_cluster(text):
    """A NodeConfig may only tune kubelet."""
    hints = from_node_configs([text])
    assert (hints.name, hints.endpoint, hints.service_cidrs) == ("", "", ())


@pytest.mark.parametrize("name", ["2024-01-01", "2024-99-99"])
def test_a_date_is_text(name):
    """nodeadm's reader has no dates: such a name or kubelet flag is a string, and so is `=`."""
    cluster = f"spec: {{cluster: {{name: {name}}}, kubelet: {{flags: [2024-99-99, 2024-01-01T00:00:00Z, =]}}}}"
    assert from_node_configs(["kind: NodeConfig\n" + cluster]).name == name


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kind: [", "NodeConfig: line 1, column 8: invalid YAML"),
        ("a: b: c", "line 1, column 5: invalid YAML"),
        ("kind: NodeConfig\n---\nkind: Pod", "kind is not NodeConfig"),
        ("kind: NodeConfig\n\tx: y", "invalid YAML"),
        ("kind: NodeConfig\nx: !!python/object:os.system {}", 'line 2, column 4: tag "tag:yaml.org,2002:python/obj'),
        ("kind: NodeConfig\nx: !!int abc", 'tag "tag:yaml.org,2002:int" is not supported; remove it'),
        ("kind: NodeConfig\n!x y: 1", 'line 2, column 1: tag "!x" is not supported'),
        ("kind: NodeConfig\nx: ! y", 'tag "!" is not supported'),
        ("kind: NodeConfig\nx: *gone", 'line 2, column 4: alias "*gone" is not supported; write its value'),
        ("kind: NodeConfig\nx: &a {b: 1}\ny: *a", 'line 3, column 4: alias "*a" is not supported'),
        ("kind: NodeConfig\nx: {<<: {b: 1}}", "line 2, column 5: merge key << is not supported; write its keys"),
        ("[" * 5000, "line 1, column 65: nested more than 64 levels deep"),
        ("kind: NodeConfig\n" + "#" * 65536, "NodeConfig: longer than 64 KiB in all"),
        ("kind: NodeConfig\nx: [" + "a," * 10000 + "]", "line 2, column 19995: more than 10000 values"),
        ("just text", "kind is not NodeConfig"),
        ("- kind: NodeConfig", "kind is not NodeConfig"),
        ("kind: Pod", "kind is not NodeConfig"),
        ("kind: NodeConfig\nspec: {cluster: {name: 123}}", "cluster name: expected a string, got the integer 123"),
        ("kind: NodeConfig\nspec: {cluster: {cidr: [10.0.0.0/16]}}", "service CIDR: expected a string, got an array"),
        ("kind: NodeConfig\nspec: {cluster: {cidr: 10.0.0.0/99}}", 'service CIDR: "10.0.0.0/99" is not a CIDR'),
        ("kind: NodeConfig\nspec: {cluster: {apiServerEndpoint: {a: b}}}", "endpoint: expected a string, got a table"),
        (
            'kind: NodeConfig\nspec: {cluster: {apiServerEndpoint: "https://a.corp\\n"}}',
            "endpoint: expected https://HOST, got ",
        ),
    ],
)
def test_refuses_a_node_config(text, problem):
    """Text that is not a NodeConfig, and impossible values, are refused with place or value."""
    with pytest.raises(AgentError) as caught:
        from_node_configs([text])
    assert str(caught.value).startswith("NodeConfig: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "value", ["1:30", "1:" * 20000 + "1", "9" * 60000, "1_000", "0x1F", "1.5e999", "1:30.5", ".inf"]
)
def test_other_numbers_are_text(value):
    """Numbers of base 60 and the like are text: they take quadratic time, or nodeadm has none."""
    text = f"kind: NodeConfig\nspec: {{cluster: {{cidr: {value}}}}}"
    with pytest.raises(AgentError, match=f'service CIDR: "{re.escape(value[:50])}'):
        from_node_configs([text])


def test_an_anchor_alone_is_allowed():
    """Only aliases make an anchor expensive."""
    assert from_node_configs(["kind: NodeConfig\nspec: &x {cluster: &y {name: &z blue}}"]).name == "blue"


def test_a_quoted_merge_key_is_a_string():
    """Only a plain << merges."""
    assert from_node_configs(["kind: NodeConfig\nspec: {cluster: {'<<': {name: x}}}"]).name == ""


def test_all_node_configs_share_one_limit():
    """The limit counts for all texts together."""
    text = "kind: NodeConfig\n" + "#" * 40000
    assert from_node_configs([text]).name == ""
    with pytest.raises(AgentError, match="NodeConfig: longer than 64 KiB in all"):
        from_node_configs([text, text])


#: Aliases that would unfold to 10^9 strings.
BOMB = ["a0: &a0 x"] + ["a{}: &a{} [{}]".format(n, n, ",".join(["*a%s" % (n - 1)] * 10)) for n in range(1, 10)]


#: Merge keys of merge keys, which PyYAML alone takes exponential time for.
MERGE_BOMB = ["x0: &x0 {k: 1}"] + [f"x{n}: &x{n} {{<<: [*x{n - 1}, *x{n - 1}]}}" for n in range(1, 29)]


@pytest.mark.parametrize("lines", [BOMB, MERGE_BOMB], ids=["aliases", "merge keys"])
def test_bombs_are_refused_early(lines):
    """Nothing is unfolded: the first alias or merge key is an error with its place."""
    with pytest.raises(AgentError, match=r"NodeConfig: line 3, column [0-9]+: .* is not supported"):
        from_node_configs(["\n".join(["kind: NodeConfig", *lines])])


@given(st.one_of(st.text(max_size=80), st.text("{}[]:,-&*!|>'\"#% \nkabc01~", max_size=80)))
def test_any_text_is_a_node_config_or_an_error(text):
    """No text breaks the reader."""
    try:
        from_node_configs(["kind: NodeConfig\n" + text])
    except AgentError as error:
        assert str(error).startswith("NodeConfig: ")  # noqa: PT017 - either outcome is right


def test_arguments_come_before_node_configs():
    """Field by field the first that is known counts; the source is that of the service CIDRs."""
    arguments = from_arguments(["one", "--apiserver-endpoint", "https://a.corp"])
    config = from_node_configs([node_config(name="two", apiServerEndpoint="https://b.corp", cidr="10.100.0.0/16")])
    assert first_known(arguments, config) == ClusterInfo("one", "a.corp", ("10.100.0.0/16",), "NodeConfig")
    assert first_known() == ClusterInfo()


def environment(text):
    """Return what a NodeConfig with this spec.instance.environment says."""
    return from_node_configs([f"kind: NodeConfig\nspec: {{instance: {{environment: {text}}}}}"])


def test_proxy_variables_of_node_configs():
    """The warning says where the value is in force: `default` is nodeadm, other keys are units."""
    warnings = environment("{default: {https_proxy: 'http://x:1', TZ: UTC}, kubelet: {NO_PROXY: a}, x: y}").warnings
    assert warnings == (
        (
            'NodeConfig sets "https_proxy" for "default" in spec.instance.environment; '
            "it is in force in nodeadm and in every unit without the agent's drop-in"
        ),
        'NodeConfig sets "NO_PROXY" for "kubelet" in spec.instance.environment; the agent\'s value overrides it',
    )


@pytest.mark.parametrize(
    ("default", "count"),
    [
        ("{HTTPS_PROXY: 'http://x:1/', NO_PROXY: 169.254.169.254}", 0),
        ("{HTTPS_PROXY: 'http://x:1', http_proxy: 'http://y:1'}", 2),
        ("{HTTPS_PROXY: 'http://y:1'}", 1),
        ("{NO_PROXY: 169.254.169.254}", 1),
        ("{HTTPS_PROXY: [x]}", 1),
        ("x", 0),
    ],
)
def test_the_proxy_of_the_settings_is_no_conflict(default, count):
    """A NodeConfig that gives nodeadm the same proxy was made for this node."""
    text = f"kind: NodeConfig\nspec: {{instance: {{environment: {{default: {default}}}}}}}"
    assert len(from_node_configs([text], own_proxies={"http://x:1"}).warnings) == count


def test_many_proxy_variables_are_counted():
    """Twenty warnings are given in full."""
    warnings = environment("{" + ", ".join(f"u{number}: {{NO_PROXY: a}}" for number in range(1000)) + "}").warnings
    assert len(warnings) == 21
    assert warnings[-1] == "NodeConfig: 980 more of this kind"


@pytest.mark.parametrize(
    "default",
    [
        "{}",
        "{HTTPS_PROXY: 'http://x:1'}",
        "{NO_PROXY: '169.254.169.254'}",
        "{NO_PROXY: 'localhost, 169.254.0.0/16'}",
        "{no_proxy: '*'}",
        "{No_Proxy: x}",
        "{NO_PROXY: [x]}",
    ],
)
def test_environment_with_which_nodeadm_reaches_the_metadata_service(default):
    """Without NO_PROXY nodeadm has the agent's; with one, the address has to be in it."""
    assert environment(f"{{default: {default}, kubelet: {{NO_PROXY: a}}}}").problems == ()


def test_environment_that_hides_the_metadata_service():
    """A NO_PROXY without the address keeps the node from joining; the lines to delete are named."""
    text = "{default: {HTTPS_PROXY: 'http://x:1', NO_PROXY: 'localhost,10.0.0.0/8,x/y'}}"
    assert environment(text).problems == (
        (
            "NodeConfig: NO_PROXY in spec.instance.environment.default lacks 169.254.169.254; "
            "delete HTTPS_PROXY, NO_PROXY there: the agent sets these variables"
        ),
    )


def test_problems_of_all_sources_are_kept():
    """first_known drops neither warnings nor problems."""
    info = environment("{default: {NO_PROXY: x}}")
    assert first_known(ClusterInfo(), info).problems == info.problems
    assert first_known(ClusterInfo(), info).warnings == info.warnings


@pytest.mark.parametrize(
    ("info", "cidrs", "expected"),
    [
        (ClusterInfo(), ["10.0.0.0/16"], ""),
        (ClusterInfo(service_cidrs=("fd00::/108",)), ["10.0.0.0/16", "2600:1f16::/56"], ""),
        (ClusterInfo(), ["10.0.0.0/16", "2600:1f16::/56"], "the VPC has IPv6"),
        (ClusterInfo(dns_address="10.96.0.10"), ["10.0.0.0/16"], "10.96.0.10 is the cluster's DNS"),
    ],
)
def test_a_guessed_service_cidr(info, cidrs, expected):
    """A default against which the VPC or the DNS address speaks is not taken without a word."""
    warning = unknown_service_cidr(info, cidrs, "172.20.0.0/16")
    assert expected in warning
    assert bool(warning) == bool(expected)
    assert not warning or "172.20.0.0/16; if that is wrong, set cluster.service_cidr" in warning
