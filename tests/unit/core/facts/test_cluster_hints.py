"""Cluster information from the arguments of bootstrap.sh and from NodeConfigs."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.core.facts.cluster_hints import ClusterInfo, first_known, from_arguments, from_node_configs
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
        ("kind: NodeConfig\nx: !!python/object:os.system {}", "invalid YAML"),
        ("kind: NodeConfig\nx: !!int abc", "invalid YAML"),
        ("kind: NodeConfig\nx: !!bool abc", "invalid YAML"),
        ("kind: NodeConfig\nx: *gone", "invalid YAML"),
        ("[" * 5000, "nested too deeply"),
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


#: Aliases that would unfold to 10^9 strings.
BOMB = ["a0: &a0 x"] + ["a{}: &a{} [{}]".format(n, n, ",".join(["*a%s" % (n - 1)] * 10)) for n in range(1, 10)]


def test_aliases_are_no_bomb():
    """A document of aliases is read quickly: nothing unfolds it."""
    assert from_node_configs(["\n".join(["kind: NodeConfig", *BOMB])]).name == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [("kind: *a9", "kind is not NodeConfig"), ("kind: NodeConfig\napiVersion: *a9", "apiVersion is not a string")],
)
def test_a_bomb_is_not_unfolded_into_an_error(text, problem):
    """An alias in the place of a value is not unfolded for the text of an error."""
    with pytest.raises(AgentError, match=problem):
        from_node_configs(["\n".join([*BOMB, text])])


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
