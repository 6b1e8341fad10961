"""NO_PROXY values with which a running process is current: what only a new version added."""

import pytest

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import Facts
from agent.core.intent.inputs import Inputs
from agent.core.intent.reachability import ProbeResult
from agent.core.plan.accepted import Accepted, inputs_of
from agent.core.plan.drift import Memory
from agent.core.record import asdict, evolve
from agent.core.settings.layers import Layer, merge, parse_toml

FACTS = Facts("i-0123456789abcdef0", "06:1d", ("10.0.0.0/16",), (), "eu-central-1", "amazonaws.com", "aws")
TOML = '[proxy]\nurl = "http://proxy:3128"\nno_proxy = ["a.corp"]\n'
INPUTS = {"settings": "1", "region": "2"}


def inputs(toml=TOML, facts=FACTS, info=None, results=None):
    """Return the named inputs of a node."""
    layered = merge([parse_toml("config.toml", toml.encode())])
    return inputs_of(Inputs(layered, facts, info or ClusterInfo()), results or {})


def test_a_list_that_only_grew_keeps_the_earlier_one():
    """Two upgrades without a restart in between: both earlier lists are accepted."""
    accepted = Accepted().after(INPUTS, "a").after(INPUTS, "a,b").after({**INPUTS, "probe new": "3"}, "a,b,c")
    assert (accepted.values, accepted.earlier) == (("a", "a,b", "a,b,c"), {"a", "a,b"})
    assert accepted.after({**INPUTS, "probe new": "3"}, "a,b,c") == accepted, "the next cycle changes nothing"


def test_a_unit_that_a_new_version_covers_needs_no_restart():
    """Its process has no proxy; one with another proxy, and one of another unit, are stale."""
    accepted = Accepted().after(INPUTS, "a").after(INPUTS, "a", ["new.service"]).after(INPUTS, "a,b")
    assert accepted.units == ("new.service",)
    unset = {"http_proxy": "", "no_proxy": ""}
    assert accepted.defers("new.service", unset)
    assert accepted.defers("new.service", {"no_proxy": "a"})
    assert not accepted.defers("new.service", {})
    assert not accepted.defers("new.service", {**unset, "http_proxy": "http://other:1"})
    assert not accepted.defers("old.service", unset)
    assert not accepted.after({**INPUTS, "settings": "other"}, "a,b").defers("new.service", unset)
    assert Accepted.from_json(asdict(accepted)) == accepted
    assert Accepted.from_json({"inputs": INPUTS, "values": ["a"]}).units == ()


@pytest.mark.parametrize(
    ("changed", "value"),
    [
        ({"settings": "other"}, "a,b"),
        ({"region": "other"}, "a,b"),
        ({}, "b"),
        ({}, "a.corp"),
    ],
)
def test_other_inputs_or_a_missing_entry_end_it(changed, value):
    """What settings or facts changed needs a restart, and so does an entry that is gone."""
    accepted = Accepted().after(INPUTS, "a").after({**INPUTS, **changed}, value)
    assert (accepted.values, accepted.earlier) == ((value,), frozenset())


def test_inputs_that_change_after_the_upgrade_end_it():
    """The process then lacks an entry that the operator or the VPC added."""
    accepted = Accepted().after(INPUTS, "a").after(INPUTS, "a,b")
    assert accepted.after({**INPUTS, "settings": "other"}, "a,b,c").earlier == frozenset()


def test_an_input_that_is_gone_ends_it():
    """For instance the probes, once aws.direct is a list."""
    accepted = Accepted().after({**INPUTS, "probe s3": "1"}, "a")
    assert accepted.after(INPUTS, "a,b").earlier == frozenset()


@pytest.mark.parametrize(
    ("earlier", "value"),
    [("10.1.2.3/32", "10.1.2.3,b"), ("fd12::7/128", "fd12::7,[fd12::7]")],
)
def test_a_host_that_became_an_address_is_the_same_entry(earlier, value):
    """A new version writes the address of a network of one address."""
    assert Accepted().after(INPUTS, earlier).after(INPUTS, value).earlier == {earlier}


def test_the_list_of_a_version_without_a_record_counts():
    """It is in status.json; what its processes have is accepted if it only grew."""
    assert Memory().after_list(INPUTS, "a,b", "a").accepted == Accepted(INPUTS, ("a", "a,b"))
    assert Memory().after_list(INPUTS, "a,b", "").accepted == Accepted(INPUTS, ("a,b",))
    assert Memory().after_list(INPUTS, "b", "a").accepted == Accepted(INPUTS, ("b",))
    recorded = Memory(accepted=Accepted({"settings": "other"}, ("a",)))
    assert recorded.after_list(INPUTS, "a,b", "a").accepted == Accepted(INPUTS, ("a,b",))


@pytest.mark.parametrize(
    "other",
    [
        {"toml": TOML.replace("a.corp", "b.corp")},
        {"toml": TOML + "[vpc]\ncidrs = ['10.0.0.0/8']"},
        {"toml": TOML + "[aws]\ndirect = 'auto'"},
        {"toml": TOML + "[cluster]\ndomain = 'corp'"},
        {"facts": evolve(FACTS, vpc_cidrs_v4=("10.0.0.0/16", "10.1.0.0/16"))},
        {"facts": evolve(FACTS, vpc_cidrs_v6=("fd00::/56",))},
        {"facts": evolve(FACTS, region="eu-west-1")},
        {"info": ClusterInfo(endpoint="api.corp")},
        {"info": ClusterInfo(service_cidrs=("10.9.0.0/16",))},
        {"results": {"s3": ProbeResult(direct=True, addresses=("10.0.0.1",))}},
    ],
)
def test_what_the_list_depends_on_is_an_input(other):
    """A change of settings, facts, cluster or reachability changes an input."""
    before = inputs(results={"s3": ProbeResult()})
    assert {**before, **inputs(**{"results": {"s3": ProbeResult()}, **other})} != before


@pytest.mark.parametrize(
    "other",
    [
        {"toml": TOML + "[watch]\nrestart = 'changed'\n[node]\nenable = []"},
        {"facts": evolve(FACTS, user_data=b"#!/bin/sh", mac="06:1e")},
        {"results": {"s3": ProbeResult(addresses=("10.0.0.1",))}},
    ],
)
def test_what_the_list_does_not_depend_on_is_no_input(other):
    """Other settings, and the addresses of an endpoint, change nothing."""
    results = {"s3": ProbeResult()}
    assert inputs(**{"results": results, **other}) == inputs(results=results)


def test_the_last_layer_counts_as_written():
    """A parsed value would depend on the version: a host as CIDR was an entry as it stands."""
    layers = [parse_toml("config.toml", TOML.encode()), Layer("flags", {"proxy": {"no_proxy": ["10.1.2.3/32"]}})]
    assert merge(layers).raw == {("proxy", "url"): "http://proxy:3128", ("proxy", "no_proxy"): ["10.1.2.3/32"]}
