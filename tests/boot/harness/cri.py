"""A pull by containerd through the Container Runtime Interface, as kubelet requests it.

gRPC over HTTP/2 is simple enough for the node's curl: a message is its length and its protobuf, and
the trailer has the status (grpc.io, "gRPC over HTTP2"; k8s.io/cri-api, runtime/v1/api.proto).
"""

from __future__ import annotations

import re

from .node import Running

SOCKET = "/run/containerd/containerd.sock"
SERVICE = "http://localhost/runtime.v1.ImageService"


def pull(running: Running, image: str) -> str:
    """Let containerd pull an image; return an empty string, or code and text of its error."""
    # PullImageRequest { image (field 1): ImageSpec { image (field 1): string } }
    message = _field(1, _field(1, image.encode()))
    (running.directory / "cri").write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    output = running.run(
        "curl", "--silent", "--show-error", "--max-time", "30", "--http2-prior-knowledge", "--unix-socket", SOCKET,
        "--header", "content-type: application/grpc", "--header", "te: trailers", "--data-binary", "@/probe/cri",
        "--dump-header", "-", "--output", "/dev/null", f"{SERVICE}/PullImage",
    )  # fmt: skip
    status = re.search(r"(?im)^grpc-status: (\d+)", output)
    text = re.search(r"(?im)^grpc-message: (.*)$", output)
    if status is None:
        return f"no gRPC status: {output}"
    return "" if status[1] == "0" else f"{status[1]} {text[1].strip() if text else ''}"


def _field(number: int, content: bytes) -> bytes:
    """Encode a field of at most 127 bytes as protobuf."""
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content
