"""The reader of MIME messages agrees with Python's email package where that is well-behaved."""

from __future__ import annotations

import email
import quopri
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.settings.mime import Part, Place, decoded, read_message


def parts_of(data: bytes) -> list[tuple[str, bytes]]:
    """Return type and content of each part, as this reader has them."""
    places = (Place.PART, Place.UNDIVIDED)
    return [(part.type, decoded(part)) for part in read_message(data) if part.place in places]


def parts_of_email(data: bytes) -> list[tuple[str, bytes]]:
    """Return type and content of each part, as the email package has them."""

    def content(part: Message) -> bytes:
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        return payload

    return [
        (part.get_content_type(), content(part))
        for part in email.message_from_bytes(data).walk()
        if not part.is_multipart()
    ]


BODY = st.lists(
    st.sampled_from(
        [b"", b"a = 1", b"text", b"--", b"--x", b"--b1x", b" --b1", b"\t", b"caf\xc3\xa9", b"Content-Type: a/b"]
    ),
    max_size=4,
).map(b"\n".join)
TYPE = st.sampled_from(
    [
        "text/plain",
        "application/X-EKS-Proxy-Agent",
        "application/node.eks.aws; charset=utf-8",
        'text/x; a=b; c="d;e"',
        "odd",
        "a/b/c",
    ]
)
LEAF = st.tuples(st.none() | TYPE, BODY).map(
    lambda pair: (b"" if pair[0] is None else b"Content-Type: %s\n" % pair[0].encode()) + b"\n" + pair[1]
)


def envelope(parts: list[bytes], boundary: str, tail: bytes) -> bytes:
    """Return a multipart of these parts."""
    line = b"--" + boundary.encode()
    head = f'Content-Type: multipart/mixed;\n boundary="{boundary}"\n\npreamble\n'.encode()
    return head + b"".join(line + b"\n" + part + b"\n" for part in parts) + line + tail


TAIL = st.sampled_from([b"--", b"--\n", b"-- \nepilogue", b"--\n--b1\nmore"])
INNER = st.builds(envelope, st.lists(LEAF, min_size=1, max_size=3), st.just("b2"), TAIL)
OUTER = st.builds(envelope, st.lists(LEAF | INNER, min_size=1, max_size=4), st.just("b1"), TAIL)


@given(OUTER | LEAF, st.booleans())
def test_agrees_with_the_email_package(data: bytes, crlf: bool) -> None:
    """Types and contents of the parts are the same, nested or not, with either newline."""
    if crlf:
        data = data.replace(b"\n", b"\r\n")
    assert parts_of(data) == parts_of_email(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n",
        b"Content-Type: multipart/mixed; boundary=b\n\n--b",
        b"Content-Type: multipart/mixed; boundary=b\n--b\n\nno empty line\n--b--",
        b"Content-Type: multipart/mixed; BOUNDARY = \"b\\\"c\" ; x=y\n\n--b\"c\n\nquoted\n--b\"c--",
        b"Content-Type: multipart/mixed; x=\"; boundary=no\"; boundary=yes\n\n--no\n\nno\n--yes\n\nyes\n--yes--",
        b"Content-Type: multipart/mixed; boundary=a; boundary=b\n\n--a\n\nfirst\n--a--",
        b"Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\nfirst\n--a--",
        b"Content-Type: message/rfc822\n\nContent-Type: a/b\n\ninner",
        b"no header\nContent-Type: a/b\n\nx",
        b"Content-Type: a/b\nnot a header\n\nx",
        b"content-TYPE:a/b\n\nx",
        b"Content-Type : a/b\n\nx",
        b"Content-Transfer-Encoding: quoted-printable\n\n=41=\n=\nb=c3=a9",
        b"Content-Transfer-Encoding: BASE64\n\naGVs\nbG8=\n",
    ],
)  # fmt: skip
def test_agrees_with_the_email_package_in_odd_cases(data: bytes) -> None:
    """The same for messages on which readers might differ."""
    assert parts_of(data) == parts_of_email(data)


def test_texts_outside_of_parts() -> None:
    """What stands before the first and after the last part is kept, with its place and offset."""
    data = b"Content-Type: multipart/x; boundary=b\n\nbefore\n--b\n\nx\n--b--\nafter\n"
    assert read_message(data) == (
        Part("multipart/x", b"before\n", 39, place=Place.PREAMBLE, boundary="b"),
        Part("", b"x", 51),
        Part("multipart/x", b"after\n", 59, place=Place.EPILOGUE, boundary="b"),
    )
    assert all(data[part.offset :].startswith(part.body) for part in read_message(data))


@given(st.binary(max_size=300).map(quopri.encodestring))
def test_quoted_printable(body: bytes) -> None:
    """Quoted-printable is decoded as the standard library does."""
    assert decoded(Part("", body, 0, "quoted-printable")) == quopri.decodestring(body)


@pytest.mark.parametrize(
    ("encoding", "body", "problem"),
    [
        ("base64", b"!!!", "invalid base64"),
        ("base64", b"YQ", "invalid base64"),
        ("uuencode", b"", 'Content-Transfer-Encoding "uuencode" is not supported; write base64'),
    ],
)
def test_broken_transfer_encoding(encoding: str, body: bytes, problem: str) -> None:
    """A body that cannot be decoded is an error."""
    with pytest.raises(ValueError, match=f"^{problem}$"):
        decoded(Part("", body, 0, encoding))
