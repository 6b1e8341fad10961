"""Each setting: what it may be, what it may not be, and the packaged config.toml that documents
them all.
"""

import re
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.net.proxy_url import ProxyUrl
from agent.core.noproxy.entries import OwnerEntry
from agent.core.settings.layers import Layer, merge, parse_toml
from agent.core.settings.schema import DEFAULT_UNITS, SECTIONS, Settings
from agent.errors import SettingsError

ROOT = Path(__file__).parents[4]
CONFIG = ROOT / "packaging" / "config.toml"
KEYS = [(section, key) for section, cls in SECTIONS.items() for key in attrs.fields_dict(cls)]


def read(section, key, value):
    """One value, through a layer as all values come."""
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
        ("proxy", "no_proxy", ["a.corp", "10.0.0.0/8"], (OwnerEntry(("a.corp",)), OwnerEntry(("10.0.0.0/8",)))),
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
        ("aws", "direct", [], ()),
        ("aws", "direct", ["s3", "sts"], ("s3", "sts")),
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
    """A right value becomes the setting, in its canonical form."""
    assert read(section, key, value) == setting


@pytest.mark.parametrize(
    ("section", "key", "value", "problem"),
    [
        ("proxy", "url", 3128, "3128 is an integer, not a string"),
        ("proxy", "url", 10**400, "100000"),
        ("proxy", "url", ["http://proxy:3128", True], "true is a boolean, not a string"),
        ("proxy", "url", {"host": "secret"}, "is a table, not a string"),
        ("proxy", "url", ["http://a:1", "b:1", "c:1"], '"b:1" has no scheme; write http://b:1; "c:1" has no scheme'),
        ("proxy", "https_url", "proxy:3128", "no scheme"),
        ("proxy", "credentials_file", "proxy.pass", '"proxy.pass" is no absolute path'),
        ("proxy", "credentials_file", "alice:hunter2", "USER:PASSWORD belongs into the file"),
        ("proxy", "credentials_file", "alice:hunter2\n", "USER:PASSWORD belongs into the file"),
        ("proxy", "credentials_file", "/etc/../root/x", "without .."),
        ("proxy", "credentials_file", "/etc/..", "without .."),
        ("proxy", "credentials_file", "/etc/a\nb", "a control character"),
        ("proxy", "no_proxy", "a.corp,b.corp", '"a.corp,b.corp" is a string, not an array'),
        ("proxy", "no_proxy", ["a.corp", "*"], "has a *"),
        ("proxy", "no_proxy", ["https://alice:hunter2@a.corp"], "is a URL"),
        ("cluster", "name", "my cluster", "no EKS cluster name"),
        ("cluster", "name", "-x", "no EKS cluster name"),
        ("cluster", "name", "a" * 101, "no EKS cluster name"),
        ("cluster", "name", "a\n", "no EKS cluster name"),
        ("cluster", "endpoint", "http://api.corp", "no https://HOST"),
        ("cluster", "endpoint", "https://alice:hunter2@api.corp", "no https://HOST"),
        ("cluster", "endpoint", "https://api.corp/path", "no https://HOST"),
        ("cluster", "endpoint", ".corp", "no https://HOST"),
        ("cluster", "endpoint", "10.0.0.0/8", "no https://HOST"),
        ("cluster", "endpoint", "https://api.corp:0", "no https://HOST"),
        ("cluster", "endpoint", "https://api.corp:99999", "no https://HOST"),
        ("cluster", "endpoint", "https://*.corp", "no https://HOST"),
        ("cluster", "endpoint_access", "Private", '"Private" is not allowed'),
        ("cluster", "service_cidr", "172.20.0.0", "is no CIDR"),
        ("cluster", "service_cidr", "0.0.0.0/0", "bypass the proxy for every address"),
        ("cluster", "service_cidr", ["172.20.0.0/16"], "is an array, not a string"),
        ("cluster", "domain", "", "no DNS domain"),
        ("cluster", "domain", "a b", "no DNS domain"),
        ("aws", "direct", ["s3", "S3", "dynamodb"], '"S3" is not allowed; "dynamodb" is not allowed'),
        ("aws", "direct", "s3", "not an array"),
        ("vpc", "cidrs", [], "is empty"),
        ("vpc", "cidrs", ["10.0.0.0/16", "x"], '"x" is no CIDR'),
        ("vpc", "cidrs", ["::/0"], "bypass the proxy for every address"),
        ("vpc", "cidrs", "10.0.0.0/16", "not an array"),
        ("node", "units", ["../../etc/cron.d/x"], "no unit name"),
        ("node", "units", ["a/b"], "no unit name"),
        ("node", "units", ["/etc/passwd"], "no unit name"),
        ("node", "units", [".."], "no unit name"),
        ("node", "units", ["getty@"], "name its instances"),
        ("node", "enable", ["getty@.service"], "name its instances"),
        ("node", "units", [".hidden"], "no unit name"),
        ("node", "units", [""], "no unit name"),
        ("node", "units", ["a b"], "no unit name"),
        ("node", "units", ["a\nb"], r'"a\nb" is no unit name'),
        ("node", "units", ["docker\n"], "no unit name"),
        ("node", "units", ["-.service"], "no unit name"),
        ("node", "units", ["--now"], "no unit name"),
        ("node", "units", ["a" * 300], "no unit name"),
        ("node", "units", ["docker.socket"], "no service; only services read an environment"),
        ("node", "units", ["docker", 1], "1 is an integer, not a string"),
        ("node", "enable", ["cloud-init.target"], "no service"),
        ("node", "yum", "yes", '"yes" is a string, not a boolean'),
        ("node", "yum", 1, "1 is an integer, not a boolean"),
        ("metadata", "endpoint", "169.254.169.254", "no http://HOST"),
        ("metadata", "endpoint", "https://169.254.169.254", "no http://HOST"),
        ("metadata", "endpoint", "http://169.254.169.254/latest", "no http://HOST"),
        ("metadata", "endpoint", "http://alice:hunter2@10.0.0.1", "no http://HOST"),
        ("metadata", "endpoint", "http://127.0.0.1:0", "no http://HOST"),
        ("metadata", "endpoint", "http://127.0.0.1:99999", "no http://HOST"),
        ("metadata", "endpoint", "http://[::::]", "no http://HOST"),
        ("metadata", "endpoint", "http://10.0.0.256", "no http://HOST"),
        ("metadata", "endpoint", "http://a..b", "no http://HOST"),
        ("metadata", "deadline", 0, "0 is not above 0"),
        ("metadata", "deadline", -1.5, "-1.5 is not above 0"),
        ("metadata", "deadline", 3601, "3601 is not above 0 and up to 3600 seconds"),
        ("metadata", "deadline", float("nan"), "nan is not above 0"),
        ("metadata", "deadline", float("inf"), "inf is not above 0"),
        ("metadata", "deadline", 10**400, "is not above 0"),
        ("metadata", "deadline", True, "true is a boolean, not a number"),
        ("metadata", "deadline", "30", '"30" is a string, not a number'),
        ("bootstrap", "command", "bootstrap.sh", "no absolute path"),
        ("bootstrap", "command", "", "no absolute path"),
        ("bootstrap", "arguments", ["a\0b"], "a control character"),
        ("bootstrap", "arguments", ["a\nb"], "a control character"),
        ("bootstrap", "arguments", "a b", "not an array"),
        ("bootstrap", "arguments", [["a"]], "is an array, not a string"),
        ("signal", "stack", "a\rb", "a control character"),
        ("signal", "region", "Frankfurt", "no AWS region"),
        ("signal", "region", "eu-central-1\n", "no AWS region"),
        ("failure", "policy", "shut", '"shut" is not allowed'),
    ],
)
def test_refuses(section, key, value, problem):
    """A wrong value is refused with the key, the value and what is allowed, in one line without a
    secret.
    """
    with pytest.raises(SettingsError) as caught:
        read(section, key, value)
    (line,) = caught.value.problems
    assert line.startswith(f"test: {section}.{key} ")
    assert problem in line
    assert line.endswith("(allowed: {})".format(attrs.fields_dict(SECTIONS[section])[key].metadata["allowed"]))
    assert "\n" not in line
    assert len(line) < 400
    assert "hunter2" not in line
    assert "secret" not in line


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
    """Whatever TOML can express, a key takes it or refuses it in one line; nothing else can
    happen.
    """
    try:
        read(*place, value)
    except SettingsError as error:
        problems = error.problems
    else:
        return
    assert len(problems) == 1
    assert "\n" not in problems[0]


def test_no_settings_at_all_are_the_defaults():
    """An empty file is valid, and gives what design and documentation promise."""
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
    """No key without a reader, and without the words that an error ends with."""
    metadata = attrs.fields_dict(SECTIONS[section])[key].metadata
    assert callable(metadata["parse"])
    assert metadata["allowed"]


# --- packaging/config.toml
# ------------------------------------------------------------------------------------------


def documented():
    """Section, key, text of the value and whether it is only an example, for every setting of
    config.toml.
    """
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
    """As it is installed, config.toml is the defaults: the agent stays unconfigured."""
    layered = merge([parse_toml("config.toml", CONFIG.read_bytes())])
    assert layered.settings == Settings()
    assert layered.origin == {}


def test_the_packaged_file_documents_every_key_once():
    """Every section and key of the settings stands in config.toml, in the same order, and nothing
    else does.
    """
    found = [(section, key) for section, key, _, _ in documented()]
    assert sorted(found) == sorted(KEYS)
    assert list(dict.fromkeys(section for section, _ in found)) == list(SECTIONS)


def test_every_key_has_a_comment_of_its_own():
    """Above each setting stands a sentence about it: a line of text that belongs to no other."""
    lines = CONFIG.read_text().splitlines()
    settings = [at for at, line in enumerate(lines) if re.match(r"#\w+ = ", line)]
    assert len(settings) == len(KEYS)
    assert [lines[at] for at in settings if not lines[at - 1].startswith("# ") or at - 1 in settings] == []
    assert [lines[at] for at in settings if re.match(r"# {5,}", lines[at - 1])] == []


@pytest.mark.parametrize("setting", list(documented()), ids=lambda setting: "{}.{}".format(*setting[:2]))
def test_the_packaged_file_shows_defaults(setting):
    """Uncommented, a line is valid, and it is the default unless it says "e.g."."""
    section, key, value, example = setting
    layered = merge([parse_toml("config.toml", (f"[{section}]\n{key} = {value}\n").encode())])
    assert list(layered.origin) == [(section, key)]
    assert example == (layered.settings != Settings())


def test_the_packaged_file_is_valid_with_everything_uncommented():
    """A person may take away every comment sign before a setting."""
    text = re.sub(r"(?m)^#(?=\w+ = |\s{4,}\")", "", CONFIG.read_text())
    assert len(merge([parse_toml("config.toml", text.encode())]).origin) == len(KEYS)


def test_the_unit_file_orders_every_default_unit():
    """What gets the proxy by default starts after the agent; cloud-init is ordered only, see the
    unit file.
    """
    text = (ROOT / "systemd" / "eks-proxy-agent.service").read_text()
    assert set(re.findall(r"(?m)^Before=(.*)$", text)) == {
        *DEFAULT_UNITS,
        "cloud-init.service",
        "cloud-init-network.service",
    }
