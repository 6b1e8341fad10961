"""Meaning of error texts of the AWS CLI, as far as they can be shown.

stderr of a command that prints a password may hold it too.  So nothing is shown but sentences of
the CLI itself, and the names in them (botocore, exceptions.py; awscli, errorhandler.py).
"""

from __future__ import annotations

import re

from agent.core.record import record


@record
class AwsCliError:
    """Error of the CLI, and its remedy."""

    text: str
    hint: str


_OF_SERVICE = re.compile(
    r"An error occurred \((?P<code>[A-Z][A-Za-z]{2,63})\) when calling the (?P<operation>[A-Z][A-Za-z]{2,63}) operation"
)
_NETWORK = (
    "the command has no proxy: the service needs a VPC endpoint with private DNS, "
    "whose security group lets this node in on port 443"
)
_HINTS_OF_SERVICE = (
    ("AccessDenied|UnrecognizedClient|NotAuthorized", "allow it in the IAM role of the node, kms:Decrypt included"),
    ("NotFound", "check the name of the secret or parameter, and the region"),
    ("Expired|Signature|RequestTimeTooSkewed", "check the clock of this node"),
    ("Throttl|TooManyRequests|RequestLimit", "set a longer watch.credentials_interval"),
)
_OF_CLIENT = (
    ("Unable to locate credentials", "the node needs an instance profile, and the metadata service"),
    ("You must specify a region", "add --region to the command"),
    ("Could not connect to the endpoint URL", _NETWORK),
    ("Connect timeout on endpoint URL", _NETWORK),
    ("Read timeout on endpoint URL", _NETWORK),
    ("SSL validation failed", "the service's certificate is not trusted; check AWS_CA_BUNDLE, ca_bundle and the clock"),
)


def reason(stderr: str) -> AwsCliError | None:
    """Return the error that stderr of the AWS CLI reports, or None for any other text."""
    found = _OF_SERVICE.search(stderr)
    if found:
        code, operation = found.group("code", "operation")
        hint = next((hint for pattern, hint in _HINTS_OF_SERVICE if re.search(pattern, code)), "")
        return AwsCliError(f"{code} when calling {operation}", hint)
    return next((AwsCliError(text, hint) for text, hint in _OF_CLIENT if text in stderr), None)
