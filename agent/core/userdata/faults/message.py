"""Faults of a MIME message: parts that a reader does not see.  Pure."""

from __future__ import annotations

from collections.abc import Iterator

from agent.core.net.proxy_url import quoted
from agent.core.settings.mime import Place, read_headers, read_message
from agent.core.userdata.document import Document, Fault, line_at

_BLANKS = b"\xef\xbb\xbf \t\r\n"


def faults_of_message(document: Document) -> Iterator[Fault]:
    """Yield the faults of the message as a whole.  Raises ValueError beyond the limits."""
    text = document.text
    start = len(text) - len(text.lstrip(_BLANKS))
    headers, _ = read_headers(text, start, len(text))
    if b"content-type" not in headers:
        return
    if start:
        yield Fault(
            "leading-text",
            "blanks or a byte order mark before the MIME header: cloud-init and nodeadm read no part",
            "begin with MIME-Version: 1.0, at the first column of the first line",
            line=1,
        )
    if b"mime-version:" not in text[:4096].lower():
        yield Fault(
            "no-mime-version",
            "cloud-init reads no part without MIME-Version",
            "write MIME-Version: 1.0 above Content-Type",
            line=line_at(text, start),
        )
    for part in read_message(text, start):
        line = line_at(text, part.offset)
        if part.place is Place.UNDIVIDED:
            shown = quoted(f"--{part.boundary}") if part.boundary else "the boundary, which the header lacks"
            problem = f"no line is {shown}, so no program reads the parts"
            yield Fault("boundary", problem, "write the header's boundary above each part", line=line)
        elif part.place is Place.EPILOGUE and part.body.strip():
            closing = quoted(f"--{part.boundary}--")
            yield Fault(
                "after-end", f"text after the closing line {closing} is ignored", "move that line to the end", line=line
            )
