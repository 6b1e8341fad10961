"""Proxy in the CloudWatch agent's own file, which overrides its environment.

Sources: cfg/commonconfig/common-config.toml and GetHttpProxy of aws/amazon-cloudwatch-agent.
"""

from __future__ import annotations

from agent.core.plan.elsewhere.place import ProxyPlace
from agent.core.settings.toml_text import loads

CLOUDWATCH = "amazon-cloudwatch-agent.service"
COMMON_CONFIG = "/opt/aws/amazon-cloudwatch-agent/etc/common-config.toml"
_KEYS = {"http_proxy": "HTTP_PROXY", "https_proxy": "HTTPS_PROXY", "no_proxy": "NO_PROXY"}


def in_common_config(content: bytes) -> ProxyPlace | None:
    """Return the place if the file has a table `proxy`; an invalid file sets nothing."""
    try:
        proxy = loads(content.decode()).get("proxy")
    except ValueError:
        return None
    table = proxy if isinstance(proxy, dict) else {}
    values = {name: table[key] for key, name in _KEYS.items() if isinstance(table.get(key), str)}
    if not values:
        return None
    remedy = f"delete [proxy] from {COMMON_CONFIG}; systemctl restart {CLOUDWATCH}"
    used_by = "the CloudWatch agent, which overrides its environment"
    return ProxyPlace(COMMON_CONFIG, "[proxy]", used_by, values, remedy, unit=CLOUDWATCH)
