"""The cases of the differential tests: values of NO_PROXY, clean and sloppy, and forms of hosts."""

from __future__ import annotations

import random
from collections.abc import Iterator

from agent.core.record import record

PROXY = "http://127.0.0.1:3128"


@record
class Case:
    """A URL, and the proxy variables with which a client requests it."""

    url: str
    environment: dict[str, str]

    def __str__(self) -> str:
        shown = {name: value for name, value in self.environment.items() if _SET_ALWAYS.get(name) != value}
        return f"{self.url} with {shown}"


_SET_ALWAYS = {"http_proxy": PROXY, "https_proxy": PROXY, "HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY}

NAMES = (
    "example.com www.example.com a.b.example.com notexample.com example.com. example.org com "
    "s3.eu-west-1.amazonaws.com bucket.s3.eu-west-1.amazonaws.com ip-10-0-1-2.ec2.internal my_host.svc "
    "xn--bcher-kva.example localhost api.localhost"
).split()
IPV4 = "10.0.3.4 10.1.2.3 10.0.77.7 169.254.169.254 127.0.0.1 127.8.9.10 172.20.0.1 192.168.255.254".split()
IPV6 = (
    "[fd00:ec2::254] [fd00:ec2::1] [fd00:ec2:0::254] [FD00:EC2::254] [2001:db8:1:10::5] [2001:db8:1:1f::5] "
    "[2001:db8:1:20::5] [::1] [::ffff:10.0.3.4] [::a00:304] [0:0::a00:304]"
).split()

#: Entries, and the hosts that they are most interesting with.
ENTRIES: tuple[tuple[str, list[str]], ...] = (
    (
        "example.com .example.com *.example.com example.com. .example.com. EXAMPLE.Com ..example.com *example.com",
        NAMES[:6],
    ),
    (
        "example.com:80 example.com:443 example.com:8080 example.com: .example.com:8080 *.example.com:8080 :8080",
        NAMES[:4],
    ),
    (
        "com .com . .. *. * ** *.* com. www.example.com. ample.com [example.com] [example.com]:80 example.com:0080",
        NAMES[:7],
    ),
    (
        "http://example.com example.com/ example.com|example.org exam*.com example.??? \"example.com\" 'example.com'",
        NAMES[:4],
    ),
    (".internal internal .ec2.internal .svc svc .amazonaws.com s3.eu-west-1.amazonaws.com", NAMES[7:11]),
    ("bücher.example .bücher.example BÜCHER.example xn--bcher-kva.example XN--BCHER-KVA.example", [NAMES[11]]),
    ("localhost .localhost LOCALHOST 127.0.0.0/8 127.0.0.1 ::1 [::1]", [*NAMES[12:], *IPV4[4:6], "[::1]"]),
    (
        "10.0.3.4 10.0.3.4. .10.0.3.4 *.10.0.3.4 10.0.3.4:80 10.0.3.4:8080 010.0.3.4 10.0.3.04 0x0a.0.3.4 10.772",
        IPV4[:2],
    ),
    ("10.0.0.0/8 10.0.0.0/16 10.0.0.1/16 10.0.0.0/15 10.0.3.4/32 10.0.3.4/31 10.0.0.0/0 0.0.0.0/0 0.0.0.0/1", IPV4[:3]),
    (
        "10/8 10.0/16 10.0.3/24 10.* 10.0.* 10. .3.4 3.4 10.0.0.0/33 10.0.0.0/-1 10.0.0.0/ 10.0.0.0/08 10.0.0.0/8x",
        IPV4[:3],
    ),
    ("10.0.0.0/255.0.0.0 10.0.3.4/ 10.0.3.4/0 10.0.0.0/+8 10.0.0.0/8/8 /8 10.0.0.0/16:80 0x0a000000/8", IPV4[:2]),
    ("10.0.0.0/8 10.0.77.7", ["example.com", "10.0.77.7"]),  # the names resolve to 10.0.77.7
    (
        "169.254.169.254 169.254.0.0/16 .169.254 169.254. 172.20.0.0/16 172.16.0.0/12 192.168.0.0/16",
        IPV4[3:4] + IPV4[6:],
    ),
    ("fd00:ec2::254 [fd00:ec2::254] FD00:EC2::254 fd00:ec2:0::254 fd00:ec2:0:0:0:0:0:254 [fd00:ec2::254]:80", IPV6[:4]),
    ("[fd00:ec2::254]:8080 [fd00:ec2::254]: [fd00:ec2::254 fd00:ec2::254] fd00:ec2::254:80 fd00:ec2: 254", IPV6[:2]),
    ("fd00:ec2::/32 fd00:ec2::/64 fd00:ec2::1/64 fd00::/8 [fd00:ec2::]/32 [fd00:ec2::/32] fd00:ec2::254/128", IPV6[:4]),
    ("2001:db8:1:10::/60 2001:db8:1::/48 2001:db8:1:10::/64 2001:db8::/33 2001:db8:1:10::/59 ::/0 ::/1", IPV6[4:7]),
    ("fd00:ec2::254/0 fd00:ec2::254/ fd00:ec2::/129 fd00:ec2::254/x fe80::1%eth0", IPV6[:2]),
    (
        "::1 [::1] ::1/128 0:0:0:0:0:0:0:1 ::ffff:10.0.3.4 10.0.3.4 10.0.0.0/16 ::ffff:10.0.0.0/112 ::ffff:0:0/96",
        IPV6[7:],
    ),
    ("::ffff:10.0.3.4 ::ffff:10.0.0.0/112 ::ffff:a00:304", IPV4[:2]),
    ("::10.0.3.4 ::a00:304 ::ffff:a00:304", IPV6[8:]),
    (", a, ,a a,,b ,a", ["example.com.", "example.com", "10.0.3.4"]),  # entries of nothing
)

#: Text between two entries, the usual first.
SEPARATORS = (",", ",", ",", ", ", " ,", " , ", " ", "  ", ",,", ", ,", "\t", ",\t", ";", "|", ",\r", "\n", ",\n")
#: Text around a complete list.
EDGES = ("", "", "", " ", ",", " ,", "\t", "\r", "\n", "\r\n", "\u00a0")

#: Sets of variables: upper and lower case, empty, and all_proxy.
NAMINGS: tuple[dict[str, str], ...] = (
    {},
    {"http_proxy": PROXY},
    {"HTTP_PROXY": PROXY},
    {"https_proxy": PROXY},
    {"HTTPS_PROXY": PROXY},
    {"all_proxy": PROXY},
    {"ALL_PROXY": PROXY},
    {"http_proxy": "", "HTTP_PROXY": PROXY},
    {"https_proxy": "", "HTTPS_PROXY": PROXY},
    {"HTTPS_PROXY": "", "https_proxy": PROXY},
    {**_SET_ALWAYS, "no_proxy": "example.com"},
    {**_SET_ALWAYS, "NO_PROXY": "example.com"},
    {**_SET_ALWAYS, "no_proxy": "", "NO_PROXY": "example.com"},
    {**_SET_ALWAYS, "no_proxy": "example.com", "NO_PROXY": ""},
    {**_SET_ALWAYS, "no_proxy": "example.com", "NO_PROXY": "example.org"},
    {**_SET_ALWAYS, "no_proxy": "example.org", "NO_PROXY": "example.com"},
)


def exceptions() -> list[Case]:
    """Return cases of hosts and values of NO_PROXY, the same in every run.

    Both spellings of the variable have the same value.
    """
    chance = random.Random(6)
    cases = [_case(chance, host, value) for host, value in (*_singles(), *_edges(), *_lists(chance))]
    return list({str(case): case for case in cases}.values())


def namings() -> list[Case]:
    """Return cases of one host and every set of variables."""
    return [Case(scheme + "://example.com/", environment) for scheme in ("http", "https") for environment in NAMINGS]


def _singles() -> Iterator[tuple[str, str]]:
    for entries, hosts in ENTRIES:
        for entry in entries.split():
            for host in hosts:
                yield host, entry


def _edges() -> Iterator[tuple[str, str]]:
    for edge in dict.fromkeys(EDGES):
        for value in ("", "example.com", "example.org" + edge + ",example.com", "*", "example.org,*", "10.0.3.4"):
            host = "10.0.3.4" if value == "10.0.3.4" else "example.com"
            yield host, value + edge
            yield host, edge + value


def _lists(chance: random.Random) -> Iterator[tuple[str, str]]:
    for _ in range(250):
        _, hosts = group = chance.choice(ENTRIES)
        entries = group[0].split() + chance.choice(ENTRIES)[0].split()
        value = chance.choice(EDGES)
        for _ in range(chance.randint(1, 3)):
            value += chance.choice(entries) + chance.choice(SEPARATORS)
        yield chance.choice(hosts), value + chance.choice(entries) + chance.choice(EDGES)


def _case(chance: random.Random, host: str, value: str) -> Case:
    """Return a case with a random scheme and port, mostly http.

    Go and urllib compare the port of https URLs.
    """
    scheme = chance.choice(("http", "http", "http", "https"))
    port = chance.choice(("", "", ":80", ":8080")) if scheme == "http" else chance.choice(("", "", ":443", ":8080"))
    return Case(f"{scheme}://{host}{port}/", {**_SET_ALWAYS, "no_proxy": value, "NO_PROXY": value})
