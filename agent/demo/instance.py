"""Instance that the embedded metadata service describes, and its JSON form.  Pure."""

from __future__ import annotations

import base64
import json
from typing import Any

from agent.core.record import fields_dict, record
from agent.errors import AgentError


@record
class Interface:
    """One network interface, with the CIDRs of its whole VPC in the form of the service."""

    mac: str = "06:1d:5a:3b:7c:9e"
    vpc_cidrs_v4: tuple[str, ...] = ("10.0.0.0/16",)
    vpc_cidrs_v6: tuple[str, ...] = ()


@record
class Instance:
    """Values of the service; the defaults are a node in Frankfurt with a second CIDR for pods."""

    instance_id: str = "i-0a1b2c3d4e5f60718"
    mac: str = Interface().mac
    vpc_cidrs_v4: tuple[str, ...] = ("10.42.0.0/16", "100.64.0.0/16")
    vpc_cidrs_v6: tuple[str, ...] = ()
    region: str = "eu-central-1"
    domain: str = "amazonaws.com"
    partition: str = "aws"
    account: str = "111122223333"
    role: str = "eks-node"
    user_data: bytes = b""
    secondary: tuple[Interface, ...] = ()

    @classmethod
    def from_json(cls, text: str, source: str = "instance") -> Instance:
        """Read an instance from a JSON object of the fields above, each optional.

        User data may also be given as `user_data_base64`.  The output of `facts_to_json` is
        accepted too.  Raises AgentError with `source` in its text.
        """
        try:
            values = _checked(json.loads(text), cls, "user_data_base64")
            text_data = values.pop("user_data", "").encode("utf-8", "replace")
            values["user_data"] = base64.b64decode(values.pop("user_data_base64", ""), validate=True) or text_data
            values["secondary"] = tuple(
                Interface(**_checked(other, Interface)) for other in values.get("secondary", ())
            )
            return cls(**values)
        except (TypeError, ValueError, RecursionError) as error:
            keys = ", ".join(fields_dict(cls))
            raise AgentError(f"{source}: invalid instance: {error}", hint=f"known keys: {keys}") from None


def _checked(document: Any, record: type, *more: str) -> dict[str, Any]:
    """Return a JSON object without its nulls; raise TypeError for a wrong key or type."""
    if not isinstance(document, dict):
        raise TypeError("not a JSON object")
    values = {key: value for key, value in document.items() if value is not None}
    unknown = sorted(values.keys() - fields_dict(record).keys() - set(more))
    if unknown:
        raise TypeError(f"unknown key {unknown[0]!a}")
    for key, value in values.items():
        kind = list if key in ("vpc_cidrs_v4", "vpc_cidrs_v6", "secondary") else str
        if not isinstance(value, kind) or (key.startswith("vpc") and not all(isinstance(item, str) for item in value)):
            raise TypeError(f"{key} is not a {'list' if kind is list else 'string'}")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
