"""Facts: every value is checked, canonical, and the same after a round trip through JSON."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.facts.instance import (
    Facts,
    facts_from_json,
    facts_to_json,
    has_value,
    metadata_paths,
    parse_facts,
    parse_mac,
)
from agent.core.record import evolve
from agent.errors import MetadataError

MAC = "06:1d:5a:3b:7c:9e"
GOOD: dict[str, bytes | None] = {
    "instance_id": b"i-0123456789abcdef0",
    "mac": b"06:1d:5a:3b:7c:9e",
    "vpc_cidrs_v4": b"10.0.0.0/16\n100.64.0.0/16",
    "vpc_cidrs_v6": None,
    "region": b"eu-central-1",
    "domain": b"amazonaws.com",
    "partition": b"aws",
    "user_data": None,
}
MINIMUM = {"instance_id": "i-0123456789abcdef0", "region": "eu-central-1", "vpc_cidrs_v4": ["10.0.0.0/16"]}
HTML = b"<!DOCTYPE html><html><body>Sign in\x1b[31m</body></html>" * 20


def answers(**changed: bytes | None) -> dict[str, bytes | None]:
    """Good answers with some changed."""
    return {**GOOD, **changed}


def refused(changed: dict[str, bytes | None]) -> str:
    """The error's text for answers with something wrong."""
    with pytest.raises(MetadataError) as caught:
        parse_facts(answers(**changed))
    return str(caught.value)


def from_json(text: str) -> MetadataError:
    """The error for a JSON text with something wrong."""
    with pytest.raises(MetadataError) as caught:
        facts_from_json(text, "facts.json")
    return caught.value


def test_good_answers() -> None:
    """The usual answers of the service become Facts."""
    assert parse_facts(GOOD) == Facts(
        instance_id="i-0123456789abcdef0",
        mac=MAC,
        vpc_cidrs_v4=("10.0.0.0/16", "100.64.0.0/16"),
        vpc_cidrs_v6=(),
        region="eu-central-1",
        domain="amazonaws.com",
        partition="aws",
        user_data=b"",
    )


def test_paths_of_cidrs_hold_the_mac_of_the_interface() -> None:
    """The CIDRs are those of one interface, below the directory of its MAC."""
    assert metadata_paths(MAC)["vpc_cidrs_v6"] == f"meta-data/network/interfaces/macs/{MAC}/vpc-ipv6-cidr-blocks"


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"/", b"/\n"])
def test_mac_may_end_like_a_listing(end: bytes) -> None:
    """A slash or a newline after the MAC is not part of it."""
    assert parse_mac(MAC.encode() + end) == MAC


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"10.0.0.0/16", ("10.0.0.0/16",)),
        (b"10.0.0.0/16\n", ("10.0.0.0/16",)),
        (b"10.0.0.0/16\r\n\r\n10.1.0.0/16\r\n", ("10.0.0.0/16", "10.1.0.0/16")),
        (b"100.64.0.0/16\n10.0.0.0/16\n9.0.0.0/16", ("9.0.0.0/16", "10.0.0.0/16", "100.64.0.0/16")),
        (b"10.0.3.7/16\n10.0.0.0/16", ("10.0.0.0/16",)),
        (b"10.0.0.0/17\n10.0.0.0/16", ("10.0.0.0/16", "10.0.0.0/17")),
    ],
)
def test_ipv4_cidrs(raw: bytes, expected: tuple[str, ...]) -> None:
    """Lines become canonical CIDRs, sorted by number and unique, however they end."""
    assert parse_facts(answers(vpc_cidrs_v4=raw)).vpc_cidrs_v4 == expected


def test_ipv6_cidrs_are_canonical() -> None:
    """EC2 writes zeros that are left out elsewhere."""
    facts = parse_facts(answers(vpc_cidrs_v6=b"2600:1F16:67f:f200:0:0:0:0/56\n2600:1f16:67f:f200::/56"))
    assert facts.vpc_cidrs_v6 == ("2600:1f16:67f:f200::/56",)


@pytest.mark.parametrize("nothing", [None, b"", b"\n"])
def test_one_kind_of_cidr_may_be_absent(nothing: bytes | None) -> None:
    """404 and an empty answer are normal for IPv6, and for IPv4 on an IPv6-only interface, but not
    for both.
    """
    assert parse_facts(answers(vpc_cidrs_v6=nothing)).vpc_cidrs_v6 == ()
    assert parse_facts(answers(vpc_cidrs_v4=nothing, vpc_cidrs_v6=b"2600:1f16::/56")).vpc_cidrs_v4 == ()
    assert "vpc-ipv4-cidr-blocks: empty" in refused({"vpc_cidrs_v4": nothing, "vpc_cidrs_v6": nothing})


@pytest.mark.parametrize(
    ("region", "partition", "domain"),
    [
        ("us-east-1", "aws", "amazonaws.com"),
        ("ap-southeast-7", "aws", "amazonaws.com"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
        ("cn-northwest-1", "aws-cn", "amazonaws.com.cn"),
        ("us-iso-east-1", "aws-iso", "c2s.ic.gov"),
        ("us-isob-east-1", "aws-iso-b", "sc2s.sgov.gov"),
        ("us-isof-south-1", "aws-iso-f", "csp.hci.ic.gov"),
        ("eu-isoe-west-1", "aws-iso-e", "cloud.adc-e.uk"),
        ("eusc-de-east-1", "aws-eusc", "amazonaws.eu"),
    ],
)
def test_domain_and_partition_follow_from_the_region(region: str, partition: str, domain: str) -> None:
    """If the service does not know its domain and partition, they follow from the region."""
    facts = parse_facts(answers(region=region.encode(), domain=None, partition=None))
    assert (facts.partition, facts.domain) == (partition, domain)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("instance_id", b""),
        ("instance_id", b"i-0123"),
        ("instance_id", b"i-0123456789ABCDEF0"),
        ("instance_id", b"i-0123456789abcdef0/../../etc"),
        ("instance_id", b"i-0123456789abcdef0\ni-0123456789abcdef1"),
        ("mac", b""),
        ("mac", b"06-1d-5a-3b-7c-9e"),
        ("mac", b"06:1d:5a:3b:7c:9e:00"),
        ("mac", b"06:1d:5a:3b:7c:zz"),
        ("mac", b"../../user-data"),
        ("vpc_cidrs_v4", b"10.0.0.0"),
        ("vpc_cidrs_v4", b"10.0.0.0/33"),
        ("vpc_cidrs_v4", b"10.0.0.256/16"),
        ("vpc_cidrs_v4", b"10.0.0.0/255.255.0.0"),
        ("vpc_cidrs_v4", b"10.0.0.0/16,evil"),
        ("vpc_cidrs_v4", b"10.0.0.0/16 10.1.0.0/16"),
        ("vpc_cidrs_v4", b"0.0.0.0/0"),
        ("vpc_cidrs_v4", b"2600:1f16::/56"),
        ("vpc_cidrs_v6", b"10.0.0.0/16"),
        ("vpc_cidrs_v6", b"::/0"),
        ("vpc_cidrs_v6", b"fe80::1%eth0/64"),
        ("region", b"us-east-1a"),
        ("region", b"US-EAST-1"),
        ("region", b"null"),
        ("region", b"us-east-1\nNO_PROXY=*"),
        ("region", b"us-east-\xd9\xa1"),
        ("domain", b"amazonaws"),
        ("domain", b"amazonaws.com."),
        ("domain", b"-a.com"),
        ("domain", b"amazonaws.com,*"),
        ("domain", b"a." * 130 + b"com"),
        ("partition", b"azure"),
        ("partition", b"aws cn"),
    ],
)
def test_wrong_value_is_named(field: str, value: bytes) -> None:
    """A value of another form is an error with the path and the value."""
    error = refused({field: value})
    assert error.startswith("/latest/" + metadata_paths(MAC)[field] + ": ")
    assert " is not " in error
    assert error.isprintable()


@pytest.mark.parametrize(
    "field", ["instance_id", "mac", "vpc_cidrs_v4", "vpc_cidrs_v6", "region", "domain", "partition"]
)
def test_html_is_shown_short_and_printable(field: str) -> None:
    """A captive portal's page is quoted in part, without its control characters."""
    error = refused({field: HTML})
    assert '"<!DOCTYPE html>' in error
    assert " such as " in error
    assert error.isprintable()
    assert len(error) < 300


@pytest.mark.parametrize("field", ["instance_id", "mac", "region"])
def test_a_required_value_is_missing(field: str) -> None:
    """A 404 for a value that every instance has is an error."""
    assert "not set (404); expected " in refused({field: None})


@pytest.mark.parametrize(("field", "size"), [("instance_id", 16385), ("vpc_cidrs_v4", 16385), ("user_data", 131073)])
def test_sizes_are_bounded(field: str, size: int) -> None:
    """An answer that is too long is refused for its size alone."""
    assert f"{size} bytes long; at most {size - 1} are allowed" in refused({field: b"\n" * size})


def test_user_data_is_not_shown() -> None:
    """User data may hold secrets: the representation of Facts leaves it out."""
    assert "s3cret" not in repr(parse_facts(answers(user_data=b"s3cret")))


@given(st.binary(max_size=200), st.sampled_from(sorted(GOOD)))
def test_any_bytes_give_facts_or_a_clear_error(raw: bytes, field: str) -> None:
    """Any bytes give clean values or a MetadataError."""
    try:
        clean = evolve(parse_facts(answers(**{field: raw})), user_data=b"")
        shown = " ".join("".join(value or "") for value in vars(clean).values())
    except MetadataError as error:
        shown = str(error)
    assert shown.isprintable()
    assert shown.isascii()


@given(st.lists(st.tuples(st.ip_addresses(v=4), st.integers(8, 32)), min_size=1, max_size=8), st.randoms())
def test_order_and_repetition_of_cidrs_do_not_matter(pairs: list[Any], random: Any) -> None:
    """The same networks in any order, repeated and with host bits, give the same sorted tuple."""
    lines = ["{}/{}".format(*pair) for pair in pairs]
    first = parse_facts(answers(vpc_cidrs_v4="\n".join(lines).encode())).vpc_cidrs_v4
    random.shuffle(lines)
    assert parse_facts(answers(vpc_cidrs_v4="\n".join(lines + lines[:1]).encode())).vpc_cidrs_v4 == first
    networks = [ipaddress.IPv4Network(text) for text in first]
    assert networks == sorted(set(networks))


ANY_FACTS = st.builds(
    Facts,
    instance_id=st.from_regex("i-[0-9a-f]{8,17}", fullmatch=True),
    mac=st.just("") | st.from_regex("[0-9a-f]{2}(:[0-9a-f]{2}){5}", fullmatch=True),
    vpc_cidrs_v4=st.just(("10.0.0.0/16", "100.64.0.0/10")),
    vpc_cidrs_v6=st.sampled_from([(), ("2600:1f16::/56",)]),
    region=st.sampled_from(["eu-central-1", "us-gov-west-1"]),
    domain=st.sampled_from(["amazonaws.com", "c2s.ic.gov"]),
    partition=st.sampled_from(["aws", "aws-iso-b"]),
    user_data=st.binary(max_size=300),
    fips=st.booleans(),
)


@given(ANY_FACTS)
def test_facts_survive_json(facts: Facts) -> None:
    """Facts are read back as they were written, user data to the byte."""
    assert facts_from_json(facts_to_json(facts)) == facts


def test_minimum_of_a_facts_file() -> None:
    """Three values are enough; the others follow from them or stay empty."""
    facts = facts_from_json(json.dumps(MINIMUM))
    assert (facts.mac, facts.vpc_cidrs_v6, facts.domain, facts.partition) == ("", (), "amazonaws.com", "aws")
    assert facts.user_data == b""


def test_the_file_of_an_ordinary_kernel_has_no_new_key() -> None:
    """An earlier version, after a downgrade, accepts the cached facts."""
    facts = facts_from_json(json.dumps(MINIMUM))
    assert "fips" not in json.loads(facts_to_json(facts))
    assert json.loads(facts_to_json(evolve(facts, fips=True)))["fips"] is True


def test_user_data_as_plain_text() -> None:
    """A facts file that is written by hand needs no encoding."""
    text = json.dumps({**MINIMUM, "user_data": "#!/bin/sh\n", "domain": None})
    assert facts_from_json(text).user_data == b"#!/bin/sh\n"


def test_facts_file_lists_everything_that_is_missing_or_unknown() -> None:
    """All mistakes of that kind at once, with an example of what is needed."""
    error = from_json('{"region": null, "vpc_cidr": []}')
    assert str(error) == (
        'facts.json: instance_id is missing; region is missing; vpc_cidrs_v4 is missing; unknown key "vpc_cidr"'
    )
    assert json.loads(error.hint.partition(": ")[2]) == MINIMUM


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"x"', "[" * 100000, '{"a":', "\x00"])
def test_facts_file_that_is_not_a_json_object(text: str) -> None:
    """Anything but a JSON object is an error that says so."""
    assert str(from_json(text)).startswith(("facts.json: invalid JSON: ", "facts.json: not a JSON object"))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"region": 5}, "facts.json: region: not a string"),
        ({"vpc_cidrs_v4": "10.0.0.0/16"}, "facts.json: vpc_cidrs_v4: not a list of strings"),
        ({"vpc_cidrs_v4": [1]}, "facts.json: vpc_cidrs_v4: not a list of strings"),
        ({"vpc_cidrs_v4": []}, "facts.json: vpc_cidrs_v4: empty"),
        ({"vpc_cidrs_v4": ["10.0.0.0/16", "x"]}, 'facts.json: vpc_cidrs_v4: "x" is not a CIDR'),
        ({"region": ""}, 'facts.json: region: "" is not a region'),
        ({"region": "eu-central-1\ud800"}, 'facts.json: region: "eu-central-1?" is not a region'),
        ({"fips": "1"}, "facts.json: fips: not true or false"),
        ({"instance_id": "x"}, 'facts.json: instance_id: "x" is not an instance id'),
        ({"user_data_base64": "%"}, "facts.json: user_data_base64: invalid base64"),
        ({"user_data_base64": "\u00e9"}, "facts.json: user_data_base64: invalid base64"),
    ],
)
def test_facts_file_is_checked_as_strictly(changed: dict[str, Any], expected: str) -> None:
    """The same rules as for the metadata service, with the names of the file."""
    assert str(from_json(json.dumps({**MINIMUM, **changed}))).startswith(expected)


@pytest.mark.parametrize("answer", [b'{"accountId": "111122223333", "region": "x"}', b"111122223333\n"])
def test_the_account_is_read_from_the_identity_document(answer: bytes) -> None:
    """accountId of the document, or the twelve digits alone as a --facts file has them."""
    assert parse_facts(answers(account=answer)).account == "111122223333"


@pytest.mark.parametrize(
    "answer",
    [
        HTML,
        b"{}",
        b'{"accountId": 5}',
        b'{"accountId": ' + b"[" * 800 + b"]" * 800 + b"}",
        b"[" * 9000,
        b'{"accountId": "12"}',
    ],
)
def test_an_account_of_another_form_is_unknown(answer: bytes) -> None:
    """Anything but twelve digits is unknown, with a warning that names the path."""
    facts = parse_facts(answers(account=answer))
    (warning,) = facts.warnings
    assert facts.account == ""
    assert warning.startswith("/latest/dynamic/instance-identity/document: ")
    assert warning.endswith("an account id of 12 digits; the account is unknown")
    assert warning.isprintable()
    assert len(warning) < 300


@pytest.mark.parametrize("answer", [None, b"", b" \n"])
def test_no_account_is_unknown_without_a_warning(answer: bytes | None) -> None:
    """A 404 for the identity document is normal."""
    facts = parse_facts(answers(account=answer))
    assert (facts.account, facts.warnings) == ("", ())


def test_warnings_are_not_part_of_the_facts_on_disk() -> None:
    """An older or newer version of the agent reads the same keys."""
    facts = parse_facts(answers(account=b"12"))
    assert "warnings" not in json.loads(facts_to_json(facts))
    assert facts_from_json(facts_to_json(facts)) == facts
    assert "unknown key" in str(from_json(json.dumps({**MINIMUM, "warnings": []})))


DOCUMENT = b'{"accountId": "111122223333", "region": "ap-south-1"}'


@pytest.mark.parametrize("answer", [None, b"", b"\n"])
def test_region_of_the_identity_document(answer: bytes | None) -> None:
    """Without placement/region the region is that of the identity document."""
    facts = parse_facts(answers(region=answer, account=DOCUMENT))
    assert (facts.region, facts.account) == ("ap-south-1", "111122223333")
    assert parse_facts(answers(account=DOCUMENT)).region == "eu-central-1"


def test_wrong_region_of_the_identity_document() -> None:
    """A wrong region there is an error that names the document."""
    error = refused({"region": None, "account": b'{"region": "nowhere\\ud800"}'})
    assert error == '/latest/dynamic/instance-identity/document: "nowhere?" is not a region such as eu-central-1'


@pytest.mark.parametrize(
    ("group", "changed", "expected"),
    [
        (("instance_id",), {}, True),
        (("instance_id",), {"instance_id": b"\n"}, False),
        (("vpc_cidrs_v4", "vpc_cidrs_v6"), {"vpc_cidrs_v4": None}, False),
        (("vpc_cidrs_v4", "vpc_cidrs_v6"), {"vpc_cidrs_v4": None, "vpc_cidrs_v6": b"2600:1f16::/56"}, True),
        (("region", "account"), {}, True),
        (("region", "account"), {"region": None, "account": DOCUMENT}, True),
        (("region", "account"), {"region": None, "account": b"111122223333"}, False),
        (("region", "account"), {"region": None, "account": b'{"region": 5}'}, False),
    ],
)
def test_which_answers_suffice(group: tuple[str, ...], changed: dict[str, bytes | None], expected: bool) -> None:
    """One value of a group is enough; an identity document without a region is none."""
    assert has_value(group, answers(**changed)) is expected
