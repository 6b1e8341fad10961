"""The user data in the manifest of an EC2NodeClass.  Pure."""

from __future__ import annotations

from agent.core.facts.node_config_yaml import documents
from agent.errors import AgentError


def user_data_of(content: bytes) -> bytes | None:
    """Return spec.userData if a text is such a manifest, else None."""
    if b"EC2NodeClass" not in content:
        return None
    try:
        objects = [document for _, document in documents([("manifest", content.decode("utf-8"))])]
    except (AgentError, UnicodeDecodeError):
        return None
    for obj in objects:
        if isinstance(obj, dict) and obj.get("kind") == "EC2NodeClass":
            spec = obj.get("spec")
            user_data = spec.get("userData") if isinstance(spec, dict) else None
            return user_data.encode("utf-8") if isinstance(user_data, str) else b""
    return None
