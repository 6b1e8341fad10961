"""Error texts of the AWS CLI 1.46: what they mean, and that nothing else is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.net.aws_cli_errors import reason

SERVICE = "\nAn error occurred ({}) when calling the {} operation: User: arn:aws:sts::1:x is not authorized\n"


@pytest.mark.parametrize(
    ("stderr", "text", "hint"),
    [
        (
            SERVICE.format("AccessDeniedException", "GetSecretValue"),
            "AccessDeniedException when calling GetSecretValue",
            "IAM role",
        ),
        (
            SERVICE.format("ResourceNotFoundException", "GetSecretValue"),
            "ResourceNotFoundException when calling GetSecretValue",
            "the name of the secret",
        ),
        (
            SERVICE.format("ParameterNotFound", "GetParameter"),
            "ParameterNotFound when calling GetParameter",
            "the name",
        ),
        (
            SERVICE.format("ExpiredTokenException", "GetParameter"),
            "ExpiredTokenException when calling GetParameter",
            "clock",
        ),
        (
            SERVICE.format("ThrottlingException", "GetParameter"),
            "ThrottlingException when calling GetParameter",
            "longer",
        ),
        (SERVICE.format("InternalServiceError", "GetParameter"), "InternalServiceError when calling GetParameter", ""),
        (
            '\nCould not connect to the endpoint URL: "https://secretsmanager.eu-central-1.amazonaws.com/"\n',
            "Could not connect to the endpoint URL",
            "VPC endpoint",
        ),
        (
            '\nUnable to locate credentials. You can configure credentials by running "aws login".\n',
            "Unable to locate credentials",
            "instance profile",
        ),
        (
            "\nSSL validation failed for https://x/ [SSL: CERTIFICATE_VERIFY_FAILED]",
            "SSL validation failed",
            "not trusted",
        ),
    ],
)
def test_sentences_of_the_cli_are_recognized(stderr: str, text: str, hint: str) -> None:
    """Each with its remedy, and without what follows."""
    found = reason(stderr)
    assert found is not None
    assert found.text == text
    assert hint in found.hint


@given(st.text(max_size=200))
def test_nothing_else_is_shown(text: str) -> None:
    """Any other text gives nothing; next to a known sentence it is left out."""
    assert reason(text) is None
    known = reason(text + "Unable to locate credentials" + text)
    assert known is not None
    assert known.text == "Unable to locate credentials"


@pytest.mark.parametrize("code", ["hunter2", "", "a b", "A" * 65, "Hunter-2"])
def test_a_code_is_a_name_of_the_service(code: str) -> None:
    """A password in its place is not shown."""
    assert reason(SERVICE.format(code, "GetSecretValue")) is None
