"""The dialects, in the order of a table: system services first, then interactive programs.

NODE_JS are the clients of pods, not of nodes: what the agent writes and lints for a node is not
judged by them.
"""

from __future__ import annotations

from agent.core.noproxy.dialects import axios, curl, curl_old, go, nodejs, python_requests, python_urllib, wget
from agent.core.noproxy.dialects.dialect import Dialect

DIALECTS: tuple[Dialect, ...] = (
    Dialect("go", "Go", ("docker", "containerd", "kubelet", "kubectl", "ssm-agent", "skopeo"), go.VARIABLES, go.bypass),
    Dialect("curl-old", "curl <7.86", ("curl", "yum", "dnf", "git"), curl_old.VARIABLES, curl_old.bypass, (0, 0)),
    Dialect("curl", "curl 7.86-8.8", ("curl", "dnf", "git"), curl.VARIABLES, curl.bypass, (7, 86)),
    Dialect("curl-8.9", "curl 8.9-8.17", ("curl", "dnf", "git"), curl.VARIABLES, curl.bypass_8_9, (8, 9)),
    Dialect("curl-8.18", "curl >=8.18", ("curl", "dnf", "git"), curl.VARIABLES, curl.bypass_8_18, (8, 18)),
    Dialect("wget", "wget", ("wget",), wget.VARIABLES, wget.bypass),
    Dialect("urllib", "urllib", ("urllib", "botocore", "aws"), python_urllib.VARIABLES, python_urllib.bypass),
    Dialect(
        "requests-old",
        "requests <2.34",
        ("requests", "pip", "cloud-init"),
        python_requests.VARIABLES,
        python_requests.bypass_old,
    ),
    Dialect(
        "requests",
        "requests >=2.34",
        ("requests", "pip", "cloud-init"),
        python_requests.VARIABLES,
        python_requests.bypass,
    ),
)

NODE_JS: tuple[Dialect, ...] = (
    Dialect(
        "node-fetch",
        "Node.js fetch",
        ("fetch", "undici"),
        nodejs.FETCH_VARIABLES,
        nodejs.bypass_fetch,
        switch=nodejs.SWITCH,
    ),
    Dialect(
        "node-http", "Node.js http", ("http", "https"), nodejs.HTTP_VARIABLES, nodejs.bypass_http, switch=nodejs.SWITCH
    ),
    Dialect(
        "axios-old",
        "axios <1.15",
        ("axios", "proxy-from-env"),
        nodejs.PROXY_FROM_ENV_VARIABLES,
        nodejs.bypass_proxy_from_env,
    ),
    Dialect("axios", "axios >=1.20", ("axios",), axios.VARIABLES, axios.bypass),
)

ALL_DIALECTS = DIALECTS + NODE_JS
