"""Which errors of cfn-signal are final."""

import pytest

from agent.core.cfn_signal import refusal


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("ValidationError: Stack blue does not exist\n", "ValidationError: Stack blue does not exist"),
        ("DeprecationWarning: x\nValidationError: a\nmore", "ValidationError: a"),
        ("MissingParameter: LogicalResourceId", "MissingParameter: LogicalResourceId"),
        ("InvalidParameterValue: x", "InvalidParameterValue: x"),
        ("HTTP Error 400 : <html>", "HTTP Error 400 : <html>"),
        ("HTTP Error 503 : busy", ""),
        ("HTTP Error 4000", ""),
        ("Throttling: Rate exceeded", ""),
        ("AccessDenied: User is not authorized", ""),  # 403; the role of the instance may be new
        ("InternalFailure: x", ""),
        ("Unknown: ValidationError: x", ""),
        ("ValidationErrors: x", ""),
        ("", ""),
    ],
)
def test_a_refusal_is_final(output, expected):
    """Only what CloudFormation answers with HTTP 400, except throttling."""
    assert refusal(output) == expected
