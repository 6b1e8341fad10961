"""The readers of `user-data check` against the real ones, without a boot.

cloud-init of Debian 12 and 13, and the packages of Go that nodeadm and Karpenter use.
"""

from __future__ import annotations

import base64
import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.core.userdata.document import Document
from agent.core.userdata.readers import cloud_init, karpenter
from agent.core.userdata.readers.go_mime import NoBoundaryError, NotMultipartError, multipart_of
from tests.boot.conftest import missing, require
from tests.boot.harness import root
from tests.boot.harness.prepare import BOOT_TESTS
from tests.clients.harness.libraries import go_program

CASES = Path(__file__).parents[1] / "unit/core/userdata/cases"
EXAMPLES = Path(__file__).parents[2] / "packaging/examples"

#: Prints the parts of each line of stdin, as cloud-init takes them.
READER = """\
import base64, json, logging, sys
from cloudinit import helpers, util
from cloudinit.user_data import UserDataProcessor
logging.disable()
for line in sys.stdin:
    message = UserDataProcessor(helpers.Paths({"cloud_dir": "/nonexistent"})).process(base64.b64decode(line))
    parts = [part for part in message.walk() if part.get_content_maintype() != "multipart"]
    contents = [util.fully_decoded_payload(part) for part in parts]
    raw = [text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text for text in contents]
    print(json.dumps([[part.get_content_type(), base64.b64encode(text).decode()] for part, text in zip(parts, raw)]))
"""

HEADERS = [
    "MIME-Version: 1.0",
    "mime-version:1.0",
    "",
    'Content-Type: multipart/mixed; boundary="B"',
    "Content-Type: multipart/mixed; boundary=B",
    "Content-Type: multipart/mixed",
    "Content-Type: text/x-shellscript",
    "content-type: MULTIPART/Mixed;\n boundary=B",
    "X-Other: 1",
    "no header",
]
INDENTED = "  MIME-Version: 1.0"
KINDS = [
    "Content-Type: text/x-shellscript",
    'Content-Type: text/cloud-boothook; charset="us-ascii"',
    "Content-Type: text/cloud-config",
    "Content-Type: text/plain",
    "Content-Type: application/node.eks.aws",
    "Content-Type: application/x-eks-proxy-agent",
    "Content-Type: nonsense",
    "X-Other: 1",
    "",
    "Content-Type: text/plain\nContent-Transfer-Encoding: 7bit",
    "Content-Type: text/plain\nContent-Transfer-Encoding: base64",
]
BODIES = [
    "#!/bin/sh\necho",
    "echo",
    "#cloud-config\n{}",
    "#cloud-boothook\n#!/bin/sh",
    " \n#!/bin/sh",
    "IyEvYmluL3No",
    "",
    "--C\n",
    "a: b",
]
ENCODED = ["IyEvYmluL3No", "I2Nsb3VkLWNvbmZpZwp7fQoK", "#!/bin/sh\necho", "a: b"]
LINES = ["--B", "--B  ", "--A", " --B", "--B--", "--B--\t", "text", ""]


def corpus() -> list[bytes]:
    """Return user data: the cases, the examples, and messages put together at random."""
    texts = [path.read_bytes() for path in [*CASES.iterdir(), *EXAMPLES.rglob("*")] if path.is_file()]
    chance = random.Random(20261130)
    for _ in range(1500):
        head = chance.sample(HEADERS, chance.randint(1, 3)) if chance.random() < 0.5 else [HEADERS[0], HEADERS[3]]
        head = [*([INDENTED] if chance.random() < 0.05 else []), *head]
        lines = [*head, ""]
        for _ in range(chance.randint(0, 3)):
            kind = chance.choice(KINDS)
            body = chance.choice(ENCODED if "base64" in kind else BODIES)
            lines += [chance.choice(LINES) if chance.random() < 0.3 else "--B", kind, "", body]
        lines += [chance.choice(LINES) if chance.random() < 0.4 else "--B--", ""]
        texts.append("\n".join(lines).encode())
    return texts


def answers(argv: list[Any], texts: list[bytes]) -> list[Any]:
    """Return the answer of a program to each text."""
    lines = b"".join(base64.b64encode(text) + b"\n" for text in texts)
    done = subprocess.run([str(part) for part in argv], input=lines, check=True, capture_output=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("suite", [root.BOOKWORM, root.TRIXIE])
def test_cloud_init_finds_the_same_parts(request: pytest.FixtureRequest, suite: str) -> None:
    """Type and content of each part are those of the real UserDataProcessor, without a network."""
    require(request, "; ".join(missing()) or root.missing(suite))
    # cloud-init would download what #include names.
    texts = [text for text in corpus() if b"#include" not in text]
    real = answers(["unshare", "--net", "chroot", root.base(suite), "/usr/bin/python3", "-B", "-c", READER], texts)
    differences = []
    for text, parts in zip(texts, real):
        # The email package removes the last newline of a message without closing line.
        ours = [(part.type, part.content.rstrip(b"\n")) for part in cloud_init.parts_of(Document(text, text))]
        theirs = [(kind, base64.b64decode(content).rstrip(b"\n")) for kind, content in parts]
        theirs = [part for part in theirs if part != (cloud_init.BARE, b"")]
        if ours != theirs:
            differences.append((text, ours, theirs))
    assert differences[:3] == []


def test_go_finds_the_same_parts(request: pytest.FixtureRequest) -> None:
    """The parts, and the kind of failure, are those of Go."""
    require(request, "; ".join(missing()))
    texts = corpus()
    differences = []
    for text, answer in zip(texts, answers([go_program(BOOT_TESTS / "programs/gomime/main.go")], texts)):
        theirs = answer["failure"] or [(part["Type"], base64.b64decode(part["Content"])) for part in answer["parts"]]
        if ours_of_go(text) != theirs:
            differences.append((text, ours_of_go(text), theirs))
    assert differences[:3] == []


def ours_of_go(text: bytes) -> Any:
    """Return what our reader says, in the words of the program."""
    try:
        return [(part.content_type, part.content) for part in multipart_of(text)]
    except NotMultipartError:
        return "not multipart"
    except NoBoundaryError:
        return "no boundary"
    except ValueError:
        return "error"


def test_go_reads_what_karpenter_merges(request: pytest.FixtureRequest) -> None:
    """The message that our reader writes in the place of Karpenter is a message for Go."""
    require(request, "; ".join(missing()))
    merged = [karpenter.read(Document(text, text)).merged for text in corpus()]
    texts = [text for text in merged if text]
    assert len(texts) > 100
    answer = answers([go_program(BOOT_TESTS / "programs/gomime/main.go")], texts)
    assert [text for text, result in zip(texts, answer) if result["failure"] and b"\n--//\n" in text][:3] == []
