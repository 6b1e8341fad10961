"""Each setting: values that it accepts and refuses, and its documentation in config.toml."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.net.proxy_url import ProxyUrl
from agent.core.noproxy.entries import OperatorEntry
from agent.core.record import fields_dict
from agent.core.settings.layers import Layer, merge, parse_toml
from agent.core.settings.schema import SECTIONS, Settings
from agent.core.settings.unit_table import DEFAULT_UNITS, UNITS, UNORDERED
from agent.errors import SettingsError

ROOT = Path(__file__).parents[4]
CONFIG = ROOT / "packaging" / "config.toml"
KEYS = [(section, key) for section, cls in SECTIONS.items() for key in fields_dict(cls)]


def read(section, key, value):
    """Return the setting that a value becomes, read through a layer."""
    return getattr(getattr(merge([Layer("test", {section: {key: value}})]).settings, section), key)


PROXY = ProxyUrl("http", "proxy", 3128)


@pytest.mark.parametrize(
    ("section", "key", "value", "setting"),
    [
        ("proxy", "url", "http://proxy:3128", (PROXY,)),
        ("proxy", "url", ["http://proxy:3128", "http://b:1"], (PROXY, ProxyUrl("http", "b", 1))),
        ("proxy", "url", "", ()),
        ("proxy", "url", [], ()),
        ("proxy", "https_url", "http://proxy:3128", PROXY),
        ("proxy", "https_url", "", None),
        ("proxy", "credentials_file", "/etc/proxy.pass", "/etc/proxy.pass"),
        ("proxy", "credentials_file", "", ""),
        ("proxy", "credentials_command", ["aws", "", "a b", "é"], ("aws", "", "a b", "é")),
        ("proxy", "credentials_command", ["/opt/my tools/x"], ("/opt/my tools/x",)),
        ("proxy", "credentials_command", [], ()),
        ("proxy", "credentials", "systemd:proxy-1.x", "systemd:proxy-1.x"),
        ("proxy", "credentials", "", ""),
        ("proxy", "no_proxy", ["a.corp", "10.0.0.0/8"], (OperatorEntry(("a.corp",)), OperatorEntry(("10.0.0.0/8",)))),
        ("cluster", "name", "my-cluster_1", "my-cluster_1"),
        (
            "cluster",
            "endpoint",
            "https://ABC.gr7.eu-central-1.eks.amazonaws.com",
            "abc.gr7.eu-central-1.eks.amazonaws.com",
        ),
        ("cluster", "endpoint", "https://10.1.2.3:6443/", "10.1.2.3"),
        ("cluster", "endpoint", "https://[FD00::1]:443", "fd00::1"),
        ("cluster", "endpoint", "api.corp", "api.corp"),
        ("cluster", "endpoint", "FD00::1", "fd00::1"),
        ("cluster", "endpoint", "", ""),
        ("cluster", "endpoint_access", "public", "public"),
        ("cluster", "service_cidr", "172.16.1.0/12", "172.16.0.0/12"),
        ("cluster", "service_cidr", "fd12::/108", "fd12::/108"),
        ("cluster", "service_cidr", "auto", "auto"),
        ("cluster", "domain", "K8s.Corp.", "k8s.corp"),
        ("cluster", "endpoint", "https://api.corp/", "api.corp"),
        ("cluster", "endpoint", "https://api.corp:8443/", "api.corp"),
        ("aws", "direct", [], ()),
        ("aws", "direct", ["s3", "sts"], ("s3", "sts")),
        ("aws", "direct", ["eks-auth", "xray"], ("eks-auth", "xray")),
        (
            "aws",
            "direct",
            ["s3", "EKS.eu-central-1.amazonaws.com.", "x.vpce.amazonaws.com"],
            ("s3", "eks.eu-central-1.amazonaws.com", "x.vpce.amazonaws.com"),
        ),
        ("vpc", "pod_cidrs", [], ()),
        ("node", "enable", "auto", None),
        ("node", "enable", ["docker"], ("docker.service",)),
        ("vpc", "pod_cidrs", ["10.244.0.1/16", "fd10::/64"], ("10.244.0.0/16", "fd10::/64")),
        ("vpc", "cidrs", "auto", None),
        ("vpc", "cidrs", ["10.0.0.0/16", "fd00::/56"], ("10.0.0.0/16", "fd00::/56")),
        ("node", "units", ["docker", "a@b.service"], ("docker.service", "a@b.service")),
        ("node", "units", ["docker", "docker.service"], ("docker.service",)),
        ("node", "units", ["my.app"], ("my.app.service",)),
        ("node", "enable", [], ()),
        ("node", "yum", False, False),
        ("node", "environment", False, False),
        ("metadata", "endpoint", "http://127.0.0.1:1338/", "http://127.0.0.1:1338"),
        ("metadata", "endpoint", "http://[fd00:ec2::254]", "http://[fd00:ec2::254]"),
        ("metadata", "endpoint", "http://metadata.corp", "http://metadata.corp"),
        ("metadata", "deadline", "auto", None),
        ("metadata", "deadline", 5, 5.0),
        ("metadata", "deadline", 0.5, 0.5),
        ("bootstrap", "enabled", True, True),
        ("bootstrap", "command", "/opt/bootstrap.sh", "/opt/bootstrap.sh"),
        ("bootstrap", "arguments", ["x", "--a", "b c", "--a", "", "ü"], ("x", "--a", "b c", "--a", "", "ü")),
        ("bootstrap", "timeout", 3600, 3600.0),
        ("signal", "command", "/bin/cfn", "/bin/cfn"),
        ("signal", "stack", "arn:aws:cloudformation:x:1:stack/a/b", "arn:aws:cloudformation:x:1:stack/a/b"),
        ("signal", "resource", "NodeGroup", "NodeGroup"),
        ("signal", "region", "us-gov-east-1", "us-gov-east-1"),
        ("signal", "region", "", ""),
        ("failure", "policy", "closed", "closed"),
    ],
)
def test_accepts(section, key, value, setting):
    """A valid value becomes the setting, in its canonical form."""
    assert read(section, key, value) == setting


PERIODS = [("watch", "interval"), ("watch", "failover_after")]
OUT_OF_RANGE = [9, 9.99, 0, -1, 86401, 86400.1, float("nan"), float("inf")]


@pytest.mark.parametrize(("section", "key"), PERIODS)
@pytest.mark.parametrize("value", [10, 10.5, 86400])
def test_accepts_a_period_within_its_range(section, key, value):
    """The limits are in the range."""
    assert read(section, key, value) == value


@pytest.mark.parametrize(
    ("section", "key", "value", "problem"),
    [
        ("proxy", "url", 3128, "expected a string, got the integer 3128"),
        ("proxy", "url", 10**400, "100000"),
        ("proxy", "url", ["http://proxy:3128", True], "expected a string, got the boolean true"),
        ("proxy", "url", {"host": "secret"}, "expected a string, got a table"),
        ("proxy", "url", ["http://a:1", "b:1", "c:1"], '"b:1" has no scheme; write http://b:1; "c:1" has no scheme'),
        ("proxy", "https_url", "proxy:3128", "no scheme"),
        ("proxy", "credentials_file", "proxy.pass", '"proxy.pass" is not an absolute path'),
        ("proxy", "credentials_file", "alice:hunter2", "put USER:PASSWORD into a file"),
        ("proxy", "credentials_file", "alice:hunter2\n", "put USER:PASSWORD into a file"),
        ("proxy", "credentials_file", "/etc/../root/x", '"/etc/../root/x" contains ".."'),
        ("proxy", "credentials_file", "/etc/..", '"/etc/.." contains ".."'),
        ("proxy", "credentials_file", "/etc/a\nb", "contains a control character"),
        (
            "proxy",
            "credentials_command",
            "alice:hunter2",
            "expected an array of strings: the program and its arguments",
        ),
        ("proxy", "credentials_command", ["aws", 5], "expected an array of strings: the program and its arguments"),
        ("proxy", "credentials_command", ["alice:hunter2"], "the first string is not a program"),
        ("proxy", "credentials_command", [""], "the first string is not a program"),
        ("proxy", "credentials_command", ["bin/aws"], "the first string is not a program"),
        ("proxy", "credentials_command", ["aws", "hunter2\n"], "contains a control character"),
        ("proxy", "credentials", "alice:hunter2", "not the name of a systemd credential"),
        ("proxy", "credentials", "systemd:", "not the name of a systemd credential"),
        ("proxy", "credentials", "systemd:../hunter2", "not the name of a systemd credential"),
        ("proxy", "credentials", "systemd:a\n", "not the name of a systemd credential"),
        ("proxy", "no_proxy", "a.corp,10.*", 'got the string "a.corp,10.*"; write ["a.corp", "10.0.0.0/8"]'),
        ("proxy", "no_proxy", "a.corp,*", 'expected an array, got the string "a.corp,*"'),
        ("proxy", "url", "http://a:1,http://b:2", 'names several proxies; write ["http://a:1", "http://b:2"]'),
        ("proxy", "no_proxy", ["a.corp", "*"], '"*" would bypass the proxy for every host'),
        ("proxy", "no_proxy", ["a.corp", "10.*,*.b.corp"], 'write "10.0.0.0/8", "b.corp"'),
        ("proxy", "no_proxy", ["https://alice:hunter2@a.corp"], "is a URL"),
        ("cluster", "name", "my cluster", "is not an EKS cluster name"),
        ("cluster", "name", "-x", "is not an EKS cluster name"),
        ("cluster", "name", "a" * 101, "is not an EKS cluster name"),
        ("cluster", "name", "a\n", "is not an EKS cluster name"),
        ("cluster", "endpoint", "http://api.corp", "expected https://HOST, got "),
        ("cluster", "endpoint", "https://alice:hunter2@api.corp", "expected https://HOST, got "),
        ("cluster", "endpoint", "https://api.corp/path", "expected https://HOST, got "),
        ("cluster", "endpoint", ".corp", "expected https://HOST, got "),
        ("cluster", "endpoint", "10.0.0.0/8", "expected https://HOST, got "),
        ("cluster", "endpoint", "https://api.corp:0", "expected https://HOST, got "),
        ("cluster", "endpoint", "https://api.corp:99999", "expected https://HOST, got "),
        ("cluster", "endpoint", "https://*.corp", "expected https://HOST, got "),
        ("cluster", "endpoint_access", "Private", 'unknown value "Private"'),
        ("cluster", "service_cidr", "172.20.0.0", "is not a CIDR"),
        ("cluster", "service_cidr", "0.0.0.0/0", "bypass the proxy for every address"),
        ("cluster", "service_cidr", ["172.20.0.0/16"], "expected a string, got an array"),
        ("cluster", "domain", "", "is not a DNS domain"),
        ("cluster", "domain", "a b", "is not a DNS domain"),
        ("aws", "direct", ["s3", "S3", "dynamodb"], 'unknown value "S3"; unknown value "dynamodb"'),
        ("aws", "direct", ["https://eks.eu-central-1.amazonaws.com"], "unknown value"),
        ("aws", "direct", ["10.0.0.1", "*.amazonaws.com"], 'unknown value "10.0.0.1"; unknown value "*.amazonaws.com"'),
        ("aws", "direct", "s3", "expected an array, got the string "),
        ("vpc", "pod_cidrs", ["10.244.0.0"], "is not a CIDR"),
        ("vpc", "pod_cidrs", ["0.0.0.0/0"], "bypass the proxy for every address"),
        ("vpc", "cidrs", [], "must not be empty"),
        ("vpc", "cidrs", ["10.0.0.0/16", "x"], '"x" is not a CIDR'),
        ("vpc", "cidrs", ["::/0"], "bypass the proxy for every address"),
        ("vpc", "cidrs", "10.0.0.0/16", "expected an array, got the string "),
        ("node", "units", ["../../etc/cron.d/x"], "is not a unit name"),
        ("node", "units", ["a/b"], "is not a unit name"),
        ("node", "units", ["/etc/passwd"], "is not a unit name"),
        ("node", "units", [".."], "is not a unit name"),
        ("node", "units", ["getty@"], "name its instances"),
        ("node", "enable", ["getty@.service"], "name its instances"),
        ("node", "units", [".hidden"], "is not a unit name"),
        ("node", "units", [""], "is not a unit name"),
        ("node", "units", ["a b"], "is not a unit name"),
        ("node", "units", ["a\nb"], r'"a\nb" is not a unit name'),
        ("node", "units", ["docker\n"], "is not a unit name"),
        ("node", "units", ["-.service"], "is not a unit name"),
        ("node", "units", ["--now"], "is not a unit name"),
        ("node", "units", ["a" * 300], "is not a unit name"),
        ("node", "units", ["docker.socket"], '"docker.socket" is not a service'),
        ("node", "units", ["docker", 1], "expected a string, got the integer 1"),
        ("node", "enable", ["cloud-init.target"], "is not a service"),
        ("node", "yum", "yes", 'expected a boolean, got the string "yes"'),
        ("node", "yum", 1, "expected a boolean, got the integer 1"),
        ("metadata", "endpoint", "169.254.169.254", "expected http://HOST, got "),
        ("metadata", "endpoint", "https://169.254.169.254", "expected http://HOST, got "),
        ("metadata", "endpoint", "http://169.254.169.254/latest", "expected http://HOST, got "),
        ("metadata", "endpoint", "http://alice:hunter2@10.0.0.1", "expected http://HOST, got "),
        ("metadata", "endpoint", "http://127.0.0.1:0", "expected http://HOST, got "),
        ("metadata", "endpoint", "http://127.0.0.1:99999", "expected http://HOST, got "),
        ("metadata", "endpoint", "http://[::::]", "expected http://HOST, got "),
        ("metadata", "endpoint", "http://10.0.0.256", "expected http://HOST, got "),
        ("metadata", "endpoint", "http://a..b", "expected http://HOST, got "),
        ("metadata", "deadline", 0, "0 is out of range"),
        ("metadata", "deadline", -1.5, "-1.5 is out of range"),
        ("metadata", "deadline", 3601, "3601 is out of range"),
        ("metadata", "deadline", float("nan"), "nan is out of range"),
        ("metadata", "deadline", float("inf"), "inf is out of range"),
        ("metadata", "deadline", 10**400, "is out of range"),
        ("metadata", "deadline", True, "expected a number, got the boolean true"),
        ("metadata", "deadline", "30", 'expected a number, got the string "30"'),
        *((section, key, value, f"{value} is out of range") for section, key in PERIODS for value in OUT_OF_RANGE),
        ("bootstrap", "command", "bootstrap.sh", "is not an absolute path"),
        ("bootstrap", "command", "", "is not an absolute path"),
        ("bootstrap", "arguments", ["a\0b"], "contains a control character"),
        ("bootstrap", "arguments", ["a\nb"], "contains a control character"),
        ("bootstrap", "arguments", "a b", "expected an array, got the string "),
        ("bootstrap", "arguments", [["a"]], "expected a string, got an array"),
        ("signal", "stack", "a\rb", "contains a control character"),
        ("signal", "region", "Frankfurt", "is not an AWS region"),
        ("signal", "region", "eu-central-1\n", "is not an AWS region"),
        ("failure", "policy", "shut", 'unknown value "shut"'),
    ],
)
def test_refuses(section, key, value, problem):
    """The error is one line with key, value and what is allowed, and without a secret."""
    with pytest.raises(SettingsError) as caught:
        read(section, key, value)
    (line,) = caught.value.problems
    assert line.startswith(f"test: {section}.{key}: ")
    assert problem in line
    allowed = fields_dict(SECTIONS[section])[key].metadata["allowed"]
    assert line.endswith(f" (allowed: {allowed})")
    assert "\n" not in line
    assert len(line) < 400
    assert "hunter2" not in line
    assert "secret" not in line.replace("secretsmanager", "")


TOML_VALUES = st.recursive(
    st.one_of(
        st.booleans(), st.integers(), st.floats(), st.dates(), st.text(), st.sampled_from(["auto", "http://a:1"])
    ),
    lambda children: st.one_of(
        st.lists(children, max_size=3), st.dictionaries(st.text(max_size=5), children, max_size=2)
    ),
    max_leaves=5,
)


@given(st.sampled_from(KEYS), TOML_VALUES)
def test_any_value_is_a_setting_or_a_problem(place, value):
    """A key accepts or refuses, in one line, anything that TOML can express."""
    try:
        read(*place, value)
    except SettingsError as error:
        problems = error.problems
    else:
        return
    assert len(problems) == 1
    assert "\n" not in problems[0]


def test_empty_settings_are_the_defaults():
    """An empty file is valid, and has the documented defaults."""
    settings = merge([]).settings
    assert settings == Settings()
    assert settings.proxy.url == ()
    assert settings.aws.direct is None, "auto"
    assert settings.cluster.endpoint_access == "auto"
    assert settings.node.units == DEFAULT_UNITS
    assert not settings.bootstrap.enabled
    assert settings.failure.policy == "open"


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_key_says_what_is_allowed(section, key):
    """Each key has a reader, and a text of the allowed values for errors."""
    metadata = fields_dict(SECTIONS[section])[key].metadata
    assert callable(metadata["parse"])
    assert metadata["allowed"]


# --- packaging/config.toml


def documented():
    """Yield section, key, text of the value and is_example for every setting of config.toml."""
    text = re.sub(r",\n#\s+", ", ", CONFIG.read_text())
    section = ""
    for line in text.splitlines():
        header = re.fullmatch(r"\[(\w+)\]", line)
        setting = re.fullmatch(r"#(\w+) = (.*?)(\s+# e\.g\.)?", line)
        if header:
            section = header.group(1)
        elif setting:
            yield section, setting.group(1), setting.group(2), bool(setting.group(3))


def test_the_packaged_file_changes_nothing():
    """The installed config.toml sets nothing: the agent stays unconfigured."""
    layered = merge([parse_toml("config.toml", CONFIG.read_bytes())])
    assert layered.settings == Settings()
    assert layered.origin == {}


def test_the_packaged_file_documents_every_key_once():
    """config.toml has every key and nothing else, with the sections in the same order."""
    keys = [(section, key) for section, key, _, _ in documented()]
    assert sorted(keys) == sorted(KEYS)
    assert list(dict.fromkeys(section for section, _ in keys)) == list(SECTIONS)


def test_every_key_has_a_comment_of_its_own():
    """The line above each setting is a comment that belongs to no other setting."""
    lines = CONFIG.read_text().splitlines()
    settings = [index for index, line in enumerate(lines) if re.match(r"#\w+ = ", line)]
    assert len(settings) == len(KEYS)
    assert [lines[index] for index in settings if not lines[index - 1].startswith("# ") or index - 1 in settings] == []
    assert [lines[index] for index in settings if re.match(r"# {5,}", lines[index - 1])] == []


@pytest.mark.parametrize("setting", list(documented()), ids=lambda setting: "{}.{}".format(*setting[:2]))
def test_the_packaged_file_shows_defaults(setting):
    """An uncommented line is valid, and is the default unless it has "e.g."."""
    section, key, value, example = setting
    layered = merge([parse_toml("config.toml", (f"[{section}]\n{key} = {value}\n").encode())])
    assert list(layered.origin) == [(section, key)]
    assert example == (layered.settings != Settings())


def test_the_packaged_file_is_valid_with_everything_uncommented():
    """An operator may uncomment every setting."""
    text = re.sub(r"(?m)^#(?=\w+ = |\s{4,}\")", "", CONFIG.read_text())
    assert len(merge([parse_toml("config.toml", text.encode())]).origin) == len(KEYS)


def test_the_unit_file_orders_the_units_of_the_table():
    """Before= of the agent's unit names the ordered units of the table, and no other."""
    text = (ROOT / "systemd" / "eks-proxy-agent.service").read_text()
    ordered = re.findall(r"(?m)^Before=(.*)$", text)
    assert sorted(ordered) == sorted(unit.name for unit in UNITS if unit.is_ordered)


def test_the_packaged_file_lists_the_units_of_the_table():
    """config.toml shows the default in the order of the table."""
    (value,) = [value for section, key, value, _ in documented() if (section, key) == ("node", "units")]
    assert [name + ".service" for name in re.findall(r'"([^"]+)"', value)] == list(DEFAULT_UNITS)
    assert len(set(DEFAULT_UNITS)) == len(DEFAULT_UNITS)


@pytest.mark.parametrize("unit", ["cloud-init-main", "cloud-init-local", "nodeadm-boot-hook"])
def test_the_agent_does_not_hold_up_what_the_network_waits_for(unit):
    """These units precede network-pre.target, and the agent waits for the network."""
    text = (ROOT / "systemd" / "eks-proxy-agent.service").read_text()
    assert f"Before={unit}.service" not in text
    assert unit + ".service" not in [other.name for other in UNITS if other.is_ordered]


def test_every_unit_of_the_table_has_a_reason():
    """A unit that starts before the agent also says what that means, and the remedy."""
    assert [unit.name for unit in UNITS if not unit.reason] == []
    assert [unit.name for unit in UNITS if bool(unit.caveat) is unit.is_ordered] == []
    assert ". /etc/environment" in UNORDERED["cloud-init-main.service"].caveat
