"""NodeConfigs, and scripts that call bootstrap.sh: any text is read or refused in bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.facts.node_config_yaml import LIMIT
from tests.fuzz import readers
from tests.fuzz.bounds import Bomb, assert_bounded

TOKENS = st.sampled_from(
    "spec: cluster: instance: environment: default: name: cidr: apiServerEndpoint: kind: NodeConfig apiVersion: "
    "node.eks.aws/v1 10.0.0.0/16 fd00::/108 https://a.corp NO_PROXY: 1:30 0x1F 1e999 2024-01-01 null ~ true = "
    "&a *a <<: << !!int !x ! ? - : , { } [ ] | > ' \" # --- ... %YAML %TAG \\x0 \u00fc \u0085 \u2028 \ufeff".split()
)
YAML = st.lists(st.tuples(TOKENS, st.sampled_from(["", " ", "\n", "\n  ", "\n    ", "\t", ", "])), max_size=40).map(
    lambda pairs: "".join(token + space for token, space in pairs)
)
TEXT = YAML | st.text(max_size=80) | st.text("{}[]:,-&*!|>'\"#% \nkabc01~<=", max_size=80)


@given(TEXT, st.sampled_from(["", "kind: NodeConfig\n", "kind: NodeConfig\nspec:\n  cluster:\n    "]))
def test_any_node_config_is_read_or_refused(text: str, start: str) -> None:
    """Any text gives clean values or an error for people."""
    readers.only_agent_errors(readers.node_config, (start + text).encode("utf-8", "replace"))


SCRIPT = st.lists(
    st.sampled_from(
        "/etc/eks/bootstrap.sh --apiserver-endpoint --dns-cluster-ip --service-ipv4-cidr= API_SERVER_URL= "
        "K8S_CLUSTER_DNS_IP= 10.100.0.10 10.0.0.0/16 https://a.corp $X `x` ' \" \\ ; # export".split()
    )
    | st.sampled_from([" ", "\n", "\\\n", "\t"])
    | st.text(max_size=5),
    max_size=40,
).map("".join)


@given(SCRIPT)
def test_any_script_gives_clean_words(text: str) -> None:
    """Any script gives clean values, and no error at all."""
    readers.script(text.encode("utf-8", "replace"))


def filled(start: str, unit: str, end: str = "") -> Bomb:
    """Return a bomb of a NodeConfig that repeats `unit` up to the limit of all texts."""
    head = "kind: NodeConfig\n" + start
    count = (LIMIT - len(head) - len(end)) // len(unit.encode())
    text = head + unit * count + end
    return Bomb(readers.node_config, text.encode)


def numbered(start: str, unit: str) -> Bomb:
    """Return a bomb of a NodeConfig of many different keys."""
    text = "kind: NodeConfig\n" + start + "".join(unit.format(number) for number in range(LIMIT // len(unit)))
    return Bomb(readers.node_config, text[:LIMIT].encode)


ALIASES = ["kind: NodeConfig", "a0: &a0 x"] + [
    "a{}: &a{} [{}]".format(level, level, ",".join([f"*a{level - 1}"] * 10)) for level in range(1, 10)
]
MERGE_KEYS = ["kind: NodeConfig", "x0: &x0 {k: 1}"] + [
    f"x{level}: &x{level} {{<<: [*x{level - 1}, *x{level - 1}]}}" for level in range(1, 40)
]
BOMBS = {
    "aliases": Bomb(readers.node_config, lambda: "\n".join([*ALIASES, "spec: *a9"]).encode()),
    "merge keys": Bomb(readers.node_config, lambda: "\n".join(MERGE_KEYS).encode()),
    "flow lists": filled("x: [", "[],", "[]]"),
    "flow mappings": filled("x: [", "{},", "{}]"),
    "flow scalars": filled("x: [", "a,", "a]"),
    "flow keys": numbered("x: {", "k{}: ,"),
    "empty keys": filled("x: {", "?,"),
    "block list": filled("x:\n", "- a\n"),
    "nested block lists": filled("x:\n", "- - - - - - a\n"),
    "block keys": numbered("", "k{}:\n"),
    "levels": filled("x: ", "["),
    "levels of blocks": filled("x:\n", "- "),
    "levels of keys": filled("x:\n", "? "),
    "wide and deep": filled("x: " + "[" * 60, "a,"),
    "documents": filled("", "---\n"),
    "NodeConfigs": filled("", "---\nkind: NodeConfig\n"),
    "numbers of base 60": filled("spec: {cluster: {cidr: ", "1:", "1}}"),
    "a long number": filled("spec: {cluster: {cidr: ", "9", "}}"),
    "numbers": filled("x: [", "9,", "9]"),
    "dates": filled("x: [", "2001-01-01,", "a]"),
    "tags": filled("", "%TAG ! tag:\n"),
    "anchors": filled("x: [", "&a a,", "a]"),
    "comments": filled("", "#\n"),
    "quoted": filled("x: '", "\n\n", "'"),
    "escapes": filled('x: "', "\\n", '"'),
    "block scalar": filled("x: |\n", " a\n"),
    "long key": filled("", "a", ": b"),
    "blanks": filled("x:", " "),
    "proxy variables": numbered("spec: {instance: {environment: {", "u{}: {{no_proxy: a}},"),
    "NO_PROXY": filled("spec: {instance: {environment: {default: {NO_PROXY: '", "1.1.1.1/3,", "'}}}}"),
}


def test_bombs() -> None:
    """Each costs at most five times what the contract allows."""
    assert_bounded("test_node_config")
