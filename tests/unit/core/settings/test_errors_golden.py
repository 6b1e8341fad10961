"""Error texts of the settings, as a golden file.

After an intended change: ACCEPT=1 pytest tests/unit/core/settings/test_errors_golden.py
"""

import os
from pathlib import Path

from agent.core.record import fields_dict
from agent.core.settings import parsers
from agent.core.settings.layers import flag_layer, merge, parse_toml
from agent.core.settings.schema import SECTIONS
from agent.errors import SettingsError

GOLDEN = Path(__file__).parent / "golden" / "errors.txt"

#: Key → wrong values, as TOML.  Booleans have none: each value that is wrong is of a wrong type.
WRONG_VALUES = {
    "proxy.url": [
        '"proxy:3128"',
        '"proxy.corp"',
        '"http://a:3128,http://b:3128"',
        '["http://a:3128 http://b:3128"]',
        '"http://proxy"',
        '"http://proxy:0"',
        '"ftp://proxy:21"',
        '"http://proxy:3128/path"',
        '"http://user:secret@proxy:3128"',
        '["http://a:3128", "b:3128", "http://c"]',
    ],
    "proxy.https_url": ['"proxy:3128"'],
    "proxy.credentials_file": ['"proxy.pass"', '"/etc/../proxy.pass"', '"user:secret"'],
    "proxy.credentials_command": ['"user:secret"', '["user:secret"]', '["aws", "a\\nb"]'],
    "proxy.credentials": ['"user:secret"', '"systemd:a/b"'],
    "proxy.no_proxy": [
        '"a.corp,b.corp"',
        '["a.corp,*.b.corp"]',
        '["10.*"]',
        '["*"]',
        '["a b"]',
        '["https://example.com"]',
        '["10.0.0.0/99"]',
    ],
    "cluster.name": ['"my cluster"'],
    "cluster.endpoint": ['"http://api.example.com"', '"https://api.example.com/path"'],
    "cluster.endpoint_access": ['"Private"'],
    "cluster.service_cidr": ['"172.20.0.0"', '"0.0.0.0/0"'],
    "cluster.domain": ['""', '"a b"'],
    "cluster.workloads": ['["aws-node"]', '["kube-system/pod/aws-node"]', "[5]"],
    "cluster.injection": ['"Policy"'],
    "cluster.ca_base": ['"ca.pem"'],
    "cluster.kubectl": ['"bin/kubectl"'],
    "aws.direct": ['["s3", "S3", "dynamodb"]', '"s3"'],
    "vpc.cidrs": ["[]", '["10.0.0.0"]'],
    "vpc.pod_cidrs": ['["10.244.0.0"]', '"10.244.0.0/16"'],
    "node.units": ['["a/b", ".."]', '["docker.socket"]', '["getty@"]', '"docker"'],
    "node.enable": ['["cloud-init.target"]'],
    "node.ca_bundle": ['"corp.pem"', '"-----BEGIN RSA PRIVATE KEY-----"'],
    "metadata.endpoint": ['"169.254.169.254"', '"https://169.254.169.254"'],
    "metadata.deadline": ["0", "3601", "nan", '"30"'],
    "bootstrap.command": ['""', '"bootstrap.sh"'],
    "bootstrap.arguments": ['["a\\nb"]', '"a b"'],
    "bootstrap.timeout": ["0", "3601"],
    "signal.command": ['"cfn-signal"'],
    "signal.stack": ['"a\\nb"'],
    "signal.resource": ['"a\\nb"'],
    "signal.region": ['"Frankfurt"'],
    "signal.timeout": ["0", "3601"],
    "watch.interval": ["9", "86401"],
    "watch.credentials_interval": ["9"],
    "watch.restart": ['"always"'],
    "watch.failover_after": ["9", '"off"'],
    "watch.metrics": ['"metrics"'],
    "check.endpoints": ['["https://example.com"]', '["a b"]', '["example.com:0"]'],
    "failure.policy": ['"shut"'],
    "failure.preflight": ['"on"'],
}
#: Whole documents: what is unknown, misplaced, or not TOML.
DOCUMENTS = [
    "[proxy]\nulr = 1",
    "[proxy]\nhttp_proxy = 1",
    "[proxy]\npassword = 1",
    "[proxy]\nunits = 1",
    "[proxy]\nendpoint = 1",
    "[proxy]\noops = 1",
    '[proxy]\n"a b\\u001b" = 1',
    "url = 1",
    "oops = 1",
    "[prxy]\nurl = 1",
    "[oops]\nurl = 1",
    "proxy = 1",
    "[[proxy]]\nurl = 1",
    "[proxy.url]\nhost = 1",
    "[proxy]\nurl = http://proxy:3128",
    "[proxy]\nno_proxy = [a.corp, 10.0.0.0/8]",
    "[proxy]\nurl: http://proxy:3128",
    "\ufeff[proxy]",
    "[proxy]\n# \udce9",
    '[proxy]\ncredentials_file = "/a"\ncredentials_command = ["b"]\ncredentials = "systemd:c"',
]
FLAGS = ["proxy", "proxy.url", "url=http://proxy:3128", "proxy.ulr=1", "prxy.url=1", "node.yum=yes"]


def keys():
    """Yield SECTION.KEY of every setting with its attribute."""
    for section, cls in SECTIONS.items():
        for key, field in fields_dict(cls).items():
            yield f"{section}.{key}", field


def problems_of(read):
    """Return the problems that reading and merging a layer ends with."""
    try:
        merge([read()])
    except SettingsError as error:
        return error.problems
    return ("no error",)


def cases():
    """Yield the text of each case as a person writes it, with its problems."""
    for name, _ in keys():
        section, _, key = name.partition(".")
        for value in ["2024-01-01", *WRONG_VALUES.get(name, [])]:
            text = f"[{section}]\n{key} = {value}"
            yield text, problems_of(lambda text=text: parse_toml("config.toml", text.encode()))
    for text in DOCUMENTS:
        yield text, problems_of(lambda text=text: parse_toml("config.toml", text.encode("utf-8", "surrogateescape")))
    yield (
        "[metadata]\ndeadline = 5    # in user data",
        problems_of(lambda: parse_toml("user data", b"[metadata]\ndeadline = 5")),
    )
    for flag in FLAGS:
        yield f"--set {flag}", problems_of(lambda flag=flag: flag_layer([flag]))


def rendered():
    """Return all cases as one text, each with its problems below."""
    blocks = []
    for text, problems in cases():
        shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\ufeff", "\\ufeff")
        blocks.append("\n".join([*shown.split("\n"), *("    " + problem for problem in problems)]))
    return "\n\n".join(blocks) + "\n"


def test_error_texts_are_those_of_the_golden_file():
    """Each mistake has the text of the golden file.  ACCEPT=1 writes it again: review the diff."""
    if os.environ.get("ACCEPT") == "1":
        GOLDEN.write_text(rendered())
    assert rendered().splitlines() == GOLDEN.read_text().splitlines()


def test_each_case_is_a_mistake_and_shows_no_secret():
    """No case is valid, and no error repeats a password."""
    assert [text for text, problems in cases() if problems == ("no error",)] == []
    texts = [problem.replace("secretsmanager", "") for _, problems in cases() for problem in problems]
    assert not any("secret" in text for text in texts)


def test_every_key_has_a_wrong_value():
    """The table has each key, except booleans."""
    booleans = {name for name, field in keys() if field.metadata["parse"] is parsers.boolean}
    assert set(WRONG_VALUES) == {name for name, _ in keys()} - booleans
