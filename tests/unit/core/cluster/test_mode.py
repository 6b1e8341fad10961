"""Policy or envFrom: by the setting, by what is applied, and by what the API server has."""

import pytest

from agent.core.cluster.mode import NOT_SERVED, choose_mode, serves_policies


@pytest.mark.parametrize(
    ("setting", "has_env_from", "has_policy", "problem", "mode", "is_tentative", "reason"),
    [
        ("envFrom", False, True, "", "envFrom", False, ""),
        ("policy", True, False, "", "policy", False, ""),
        ("policy", False, True, "", "policy", False, ""),
        ("auto", True, True, "", "envFrom", False, ""),
        ("auto", True, False, "no permission", "envFrom", False, ""),
        ("auto", False, True, "", "policy", False, ""),
        ("auto", False, False, "", "policy", True, "the API server supports it (not proved yet)"),
        ("auto", False, False, "no permission", "envFrom", False, "no permission"),
    ],
)
def test_the_decision(setting, has_env_from, has_policy, problem, mode, is_tentative, reason):
    """Only a first apply of "auto" has something to say, and something to prove."""
    decision = choose_mode(setting, has_env_from=has_env_from, has_policy=has_policy, problem=problem)
    assert (decision.mode, decision.is_tentative, decision.reason) == (mode, is_tentative, reason)


def test_the_policy_as_a_setting_is_an_error_where_it_is_not_possible():
    """The error is the problem."""
    with pytest.raises(ValueError, match="does not serve MutatingAdmissionPolicy"):
        choose_mode("policy", has_env_from=False, has_policy=False, problem=NOT_SERVED)


@pytest.mark.parametrize(
    ("resources", "serves"),
    [
        (None, False),
        ({}, False),
        ({"resources": [{"name": "validatingadmissionpolicies"}]}, False),
        ({"resources": [{"name": "mutatingadmissionpolicies"}]}, True),
    ],
)
def test_an_api_server_serves_policies_by_its_list_of_resources(resources, serves):
    """The group and version are older than the policies: webhooks are in them since 1.16."""
    assert serves_policies(resources) is serves
