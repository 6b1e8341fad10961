"""Lists of NO_PROXY, as an edited file or a flag may have them: lint, explain, redact."""

from __future__ import annotations

from typing import Callable

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import readers
from tests.fuzz.bounds import Bomb, assert_bounded

#: Bytes and entries of a bomb: the text of user data, and what the contract names.
SIZE, COUNT = 64 * 1024, 3000
PIECES = st.sampled_from(
    "a b.corp .corp *.corp * . .. 10.1.2.3 10.0.0.0/8 10.0.0.0/33 10.* fd00::1 [fd00::1] fd00::/8 [fd00::1]:80 a:80 a:99999 "
    "http://u:p@a.corp/x s3.eu-west-1.amazonaws.com ec2.us-east-1.amazonaws.com com co.uk localhost ::ffff:10.0.0.1 \u00fc.de "
    "xn-- / : [ ] @ % \x00 \xa0 \u0660".split(" ")
) | st.text(max_size=6)
ENTRIES = st.lists(PIECES, max_size=3).map("".join)
LISTS = st.lists(ENTRIES, max_size=10).flatmap(
    lambda entries: st.sampled_from([",", " ", ", ", ",\t", "\n", ",,"]).map(lambda separator: separator.join(entries))
)


@given(LISTS.map(lambda text: text.encode("utf-8", "replace")) | st.binary(max_size=60))
def test_any_list_is_judged(data: bytes) -> None:
    """Any list has findings and routes, each in printable lines, and nothing is raised."""
    readers.lint(data)
    readers.explain(data)


SECRETS = st.lists(
    st.sampled_from("proxy= http:// a:b@ PASSWORD= token AWS_SECRET_ACCESS_KEY= : = @ / \n \" ' x".split(" "))
    | st.sampled_from([" ", "\t", ": unknown key"])
    | st.text(max_size=4),
    max_size=20,
).map("".join)


@given(SECRETS.map(lambda text: text.encode("utf-8", "replace")))
def test_any_text_is_redacted(data: bytes) -> None:
    """Nothing is raised."""
    readers.redacted(data)


def listed(entry: Callable[[int], str], count: int = COUNT) -> Bomb:
    """Return a bomb of so many entries, within SIZE if there are more than COUNT."""
    return Bomb(readers.lint, lambda: ",".join(map(entry, range(count))).encode())


def explained(entry: Callable[[int], str]) -> Bomb:
    """Return the same to be explained, for the first of its entries as targets."""
    return Bomb(readers.explain, lambda: ",".join(map(entry, range(COUNT))).encode())


def text(unit: str) -> Bomb:
    """Return a bomb of a text of ten times SIZE, to be redacted."""
    return Bomb(readers.redacted, (unit * (10 * SIZE // len(unit) + 1)).encode)


BOMBS = {
    "names": listed(lambda number: f"h{number}.corp.example.com"),
    "short names": listed(lambda number: f"{number:x}g", SIZE // 6),
    "suffixes": listed(lambda number: f".h{number}.corp.example.com"),
    "the same name": listed(lambda number: "a.corp"),
    "one name in other case": listed(lambda number: "".join("aA"[number >> bit & 1] for bit in range(12)) + ".corp"),
    "one name among blanks": listed(lambda number: " " * (number % 60) + "a.corp" + "\t" * (number // 60)),
    "one name among mixed blanks": listed(
        lambda number: "".join(" \t"[number >> bit & 1] for bit in range(12)) + "a.corp"
    ),
    "nested names": listed(lambda number: "a." * (number % 25) + f"corp{number // 25}"),
    "deep names": listed(lambda number: "a." * 120 + f"n{number}", SIZE // 246),
    "addresses": listed(lambda number: f"10.0.{number // 256}.{number % 256}"),
    "networks and addresses": listed(
        lambda number: f"10.0.0.0/{number + 8}" if number < 24 else f"10.0.{number // 256}.{number % 256}"
    ),
    "networks with host bits": listed(lambda number: f"10.0.{number // 256}.{number % 256}/8"),
    "IPv6 networks": listed(lambda number: f"fd00:{number:x}::/64"),
    "IPv6 addresses": listed(lambda number: f"fd00::{number:x},[fd00::{number:x}]", COUNT // 2),
    "ports": listed(lambda number: f"a.corp:{number + 1}"),
    "URLs": listed(lambda number: f"http://u:p@h{number}.corp/"),
    "wildcards": listed(lambda number: f"*.h{number}.corp"),
    "AWS names": listed(lambda number: f"s3.us-{'a' * (number % 40 + 1)}-north-{number % 99}.amazonaws.com", 1500),
    "top-level domains": listed(lambda number: "com"),
    "blanks instead of commas": Bomb(readers.lint, lambda: b" ".join(b"h%d.corp" % number for number in range(COUNT))),
    "long entries": listed(lambda number: " ".join(f"h{index}.c{number}" for index in range(40)), 160),
    "one entry": Bomb(readers.lint, lambda: b"a" * SIZE),
    "dots": Bomb(readers.lint, lambda: b"." * SIZE),
    "labels": Bomb(readers.lint, lambda: b"a." * (SIZE // 2)),
    "brackets": Bomb(readers.lint, lambda: b"[" * SIZE),
    "colons": Bomb(readers.lint, lambda: b":" * SIZE),
    "slashes": Bomb(readers.lint, lambda: b"/" * SIZE),
    "stars": Bomb(readers.lint, lambda: b"*" * SIZE),
    "digits": Bomb(readers.lint, lambda: b"9" * SIZE),
    "commas": Bomb(readers.lint, lambda: b"," * SIZE),
    "blanks": Bomb(readers.lint, lambda: b" " * SIZE),
    "not ASCII": listed(lambda number: f"\u00fc{number}.de"),
    "explain: names": explained(lambda number: f"h{number}.corp.example.com"),
    "explain: networks": explained(lambda number: f"10.{number // 256}.{number % 256}.0/24"),
    "explain: all forms": explained(
        lambda number: ("h{}.corp", ".h{}.corp", "fd00::{}", "h{}:80")[number % 4].format(number)
    ),
    "explain: labels": Bomb(readers.explain, lambda: b"a." * (SIZE // 2)),
    "explain: blanks": Bomb(readers.explain, lambda: b"a " * (SIZE // 2)),
    "redact: letters": text("a"),
    "redact: capitals": text("A_"),
    "redact: schemes": text("a://"),
    "redact: open user info": text("http://a:b"),
    "redact: user info": text("http://a:b@c "),
    "redact: keys": text("password="),
    "redact: keys without a value": text("proxy = \t\n"),
    "redact: tokens": text("SECRETTOKEN"),
    "redact: paths": text(" /"),
    "redact: proxies": text(" /proxy=a://"),
}


def test_bombs() -> None:
    """Each costs at most five times what the contract allows."""
    assert_bounded("test_noproxy")
