"""The errors of cfn-signal, as far as another try depends on them."""

from __future__ import annotations

import re

#: Codes of CloudFormation responses with HTTP 400 ("Common errors" in its API reference).
#: Throttling is one too, but passes.  cfn-signal prints the code, and for an answer that it cannot
#: parse the HTTP status (aws-cfn-bootstrap, aws_client.py and util.py).
_FINAL = re.compile(
    r"^(?:(?:ValidationError|InvalidAction|InvalidParameter\w*|InvalidQueryParameter|MalformedQueryString"
    r"|MissingAction|MissingParameter): |HTTP Error 400\b)",
    re.MULTILINE,
)


def refusal(output: str) -> str:
    """Return the line with which CloudFormation refuses a signal for good; "" for other errors.

    `output` is what cfn-signal printed on stderr.  The stack is unknown, has ended, or does not
    wait for this resource: the same signal is refused again.
    """
    match = _FINAL.search(output)
    return output[match.start() :].partition("\n")[0].strip() if match else ""
