"""Entries with mistakes, and which of them each family matches."""

import pytest

from agent.core.noproxy.dialects import axios, curl, curl_old, go, nodejs, python_requests, python_urllib, wget
from agent.core.noproxy.dialects.request import parse_request

NONE = None

RULES = [
    # Go: blanks, ports, brackets, wildcards, CIDRs in any spelling
    (go.bypass, "example.com", " Example.COM ", "Example.COM"),
    (go.bypass, "example.com", "*.Example.com,*", "*"),
    (go.bypass, "example.com", "*,", "*"),
    (go.bypass, "example.com", "example.com:443", "example.com:443"),
    (go.bypass, "http://example.com", "example.com:443", NONE),
    (go.bypass, "example.com", "example.com:", "example.com:"),
    (go.bypass, "example.com", "[example.com]:443", "[example.com]:443"),
    (go.bypass, "example.com", "[example.com]", NONE),
    (go.bypass, "example.com", ":443", NONE),
    (go.bypass, "10.0.3.4", "10.0.3.4:443", "10.0.3.4:443"),
    (go.bypass, "10.0.3.4", "10.0.0.0/08", "10.0.0.0/08"),
    (go.bypass, "10.0.3.4", "10.0.0.0/33", NONE),
    (go.bypass, "10.0.3.4", "010.0.3.4", NONE),
    (go.bypass, "10.0.3.4", "::ffff:10.0.0.0/112", "::ffff:10.0.0.0/112"),
    (go.bypass, "[::ffff:10.0.3.4]", "10.0.0.0/16", "10.0.0.0/16"),
    (go.bypass, "[fd00:ec2:0::254]", "FD00:EC2::254", "FD00:EC2::254"),
    (go.bypass, "[fd00:ec2::254]", "[fd00:ec2::254]:443", "[fd00:ec2::254]:443"),
    (go.bypass, "[fd00:ec2::254]:80", "[fd00:ec2::254]:443", NONE),
    (go.bypass, "[::ffff:127.0.0.1]", "", go.LOOPBACK),
    (go.bypass, "10.0.3.4", ".3.4", NONE),
    (go.bypass_1_23, "10.0.3.4", ".3.4", ".3.4"),
    # curl before 7.86: text only, blanks separate
    (curl_old.bypass, "example.com", "a.example  example.com", "example.com"),
    (curl_old.bypass, "example.com", "a.example\texample.com", NONE),
    (curl_old.bypass, "example.com", "..example.com", NONE),
    (curl_old.bypass, "10.0.3.4", ".3.4", ".3.4"),
    (curl_old.bypass, "[fd00:ec2:0::254]", "fd00:ec2::254", NONE),
    (curl_old.bypass, "[fd00:ec2:0::254]", "fd00:ec2:0::254", "fd00:ec2:0::254"),
    # curl 7.86 to 8.8, to 8.17, and since
    (curl.bypass, "example.com", "a.example\texample.com", "example.com"),
    (curl.bypass_8_9, "example.com", "a.example example.com", NONE),
    (curl.bypass_8_9, "example.com", "a.example , example.com", "example.com"),
    (curl.bypass_8_9, "example.com", " ,,\t.example.com.", ".example.com."),
    (curl.bypass, "10.0.3.4", "10.0.0.0/8x", "10.0.0.0/8x"),
    (curl.bypass, "10.0.3.4", "10.0.0.0/-1", NONE),
    (curl.bypass, "10.0.3.4", "10.0.3.4/", "10.0.3.4/"),
    (curl.bypass, "10.0.3.4", "10.0.0.0/33", NONE),
    (curl.bypass, "[fd00:ec2:0::254]", "fd00:ec2::254", "fd00:ec2::254"),
    (curl.bypass, "[fd00:ec2:0::254]", "fd00:ec2:0::254", NONE),
    (curl.bypass, "[::ffff:10.0.3.4]", "::ffff:a00:304", NONE),
    (curl.bypass, "[0:0::ffff:a00:304]", "::ffff:10.0.3.4", "::ffff:10.0.3.4"),
    (curl.bypass, "[::a00:304]", "::10.0.3.4", NONE),
    (curl.bypass, "[0:0::a00:304]", "::10.0.3.4", "::10.0.3.4"),
    (curl.bypass_8_18, "10.0.3.4", "10.0.0.0/8x", NONE),
    (curl.bypass_8_18, "10.0.3.4", "10.0.3.4/", NONE),
    (curl.bypass_8_18, "[fd00:ec2::254]", "FD00:EC2:0::/64", "FD00:EC2:0::/64"),
    (curl.bypass_8_18, "[fd00:ec2::254]", "10.0.0.0/8,::/0", NONE),
    # wget: blanks after a comma only
    (wget.bypass, "example.com", "a.example, \texample.com", "example.com"),
    (wget.bypass, "example.com", "example.com ", NONE),
    (wget.bypass, "example.com", "*", NONE),
    (wget.bypass, "example.com.", "a.example,,b.example", ","),
    # urllib: all leading dots, ports as written
    (python_urllib.bypass, "example.com", "\n..Example.com\r", "..Example.com"),
    (python_urllib.bypass, "example.com:443", "example.com:443", "example.com:443"),
    (python_urllib.bypass, "example.com", "example.com:443", NONE),
    (python_urllib.bypass, "[fd00:ec2::254]:80", "[fd00:ec2::254]", "[fd00:ec2::254]"),
    (python_urllib.bypass, "[fd00:ec2::254]", "254]", NONE),
    # requests: blanks are removed, old spellings of networks are read
    (python_requests.bypass, "ab.example", "a b.example", "ab.example"),
    (python_requests.bypass, "0.0.3.4", "10/8", "10/8"),
    (python_requests.bypass, "10.0.3.4", "0x0a000000/8", "0x0a000000/8"),
    (python_requests.bypass, "10.0.3.4", "012.0/16", "012.0/16"),
    (python_requests.bypass, "10.0.3.4", "08.0/16", NONE),
    (python_requests.bypass, "10.0.3.4", "256.0/16", NONE),
    (python_requests.bypass, "10.0.3.4", "10.0.3.0\t/24", "10.0.3.0\t/24"),
    (python_requests.bypass, "10.0.3.4", "10.0.0.0/0", NONE),
    (python_requests.bypass, "10.0.3.4", "10.0.0.0/+8", "10.0.0.0/+8"),
    (python_requests.bypass_old, "notexample.com", "example.com", "example.com"),
    (python_requests.bypass_old, "notexample.com:80", "example.com:80", "example.com:80"),
    # Node.js: the host as the URL standard writes it, and three readings of the list
    (nodejs.bypass_fetch, "example.com", "a.example\u00a0*.Example.com", "*.Example.com"),
    (nodejs.bypass_fetch, "example.com:8080", "example.com:8080", "example.com:8080"),
    (nodejs.bypass_fetch, "example.com:8081", "example.com:8080", NONE),
    (nodejs.bypass_fetch, "example.com:8080", "example.com:0", "example.com:0"),
    (nodejs.bypass_fetch, "example.com.", ".", "."),
    (nodejs.bypass_fetch, "[FD00:EC2:0::254]", "[fd00:ec2::254]", "[fd00:ec2::254]"),
    (nodejs.bypass_fetch, "[::ffff:10.0.3.4]", "[::ffff:a00:304]", "[::ffff:a00:304]"),
    (nodejs.bypass_http, "example.com", " Example.com:443 ", "Example.com:443"),
    (nodejs.bypass_http, "example.com", "a.example example.com", NONE),
    (nodejs.bypass_http, "example.com", "*example.com", NONE),
    (nodejs.bypass_http, "www.example.com", "*.example.com", "*.example.com"),
    (nodejs.bypass_http, "10.0.3.4", "10.0.0.0-10.0.255.255", "10.0.0.0-10.0.255.255"),
    (nodejs.bypass_http, "10.1.3.4", "10.0.0.0 - 10.0.255.255, 10.2.0.0-x,-", NONE),
    (nodejs.bypass_http, "[fd00:ec2::254]", "fd00:ec2::254:443", "fd00:ec2::254:443"),
    (nodejs.bypass_proxy_from_env, "notexample.com", "*example.com", "*example.com"),
    (nodejs.bypass_proxy_from_env, "www.example.com", "example.com", NONE),
    (nodejs.bypass_proxy_from_env, "example.com", ".example.com", NONE),
    (nodejs.bypass_proxy_from_env, "example.com", "a.example *", "*"),
    (nodejs.bypass_proxy_from_env, "[fd00:ec2::254]", "[fd00:ec2::254]:443", "[fd00:ec2::254]:443"),
    (nodejs.bypass_proxy_from_env, "[fd00:ec2::254]", "fd00:ec2::254", NONE),
    (axios.bypass, "[fd00:ec2::254]", "fd00:ec2::254", "fd00:ec2::254"),
    (axios.bypass, "10.0.3.4", "10.0.0.0/16", "10.0.0.0/16"),
    (axios.bypass, "10.0.3.4", "10.0.0.0/016", NONE),
    (axios.bypass, "10.0.3.4", "010.0.3.4,012.0x0.772", "012.0x0.772"),
    (axios.bypass, "[::ffff:10.0.3.4]", "10.0.3.4:443", "10.0.3.4:443"),
    (axios.bypass, "10.0.3.4", "::ffff:10.0.0.0/112", "::ffff:10.0.0.0/112"),
    (axios.bypass, "10.0.3.4", "::ffff:0:0/95", NONE),
    (axios.bypass, "[fd00:ec2::254]", "[fd00:ec2::]/32", "[fd00:ec2::]/32"),
    (axios.bypass, "example.com.", "example.com..", "example.com.."),
    (axios.bypass, "127.8.9.10", "::1", "::1"),
    (axios.bypass, "localhost", "127.0.0.1:80,0.0.0.0", "0.0.0.0"),
    (axios.bypass, "example.com", "a,**", NONE),
    (axios.bypass, "b\u00fccher.example", "*.B\u00dcCHER.example,B\u00dcCHER.example", "B\u00dcCHER.example"),
]


@pytest.mark.parametrize(("bypass", "target", "no_proxy", "entry"), RULES)
def test_bypass_returns_the_matching_entry(bypass, target, no_proxy, entry):
    """The result is the entry as it is in the list, None if the request uses the proxy."""
    assert bypass(parse_request(target), no_proxy) == entry


P = "http://proxy.example:3128"

VARIABLES = [
    # module, environment, proxy for http, proxy for https, NO_PROXY
    (go, {"HTTP_PROXY": P, "http_proxy": "x", "no_proxy": "a", "NO_PROXY": ""}, P, None, "a"),
    (go, {"https_proxy": P, "HTTPS_PROXY": "", "no_proxy": "a", "NO_PROXY": "b"}, None, P, "b"),
    (go, {"ALL_PROXY": P, "all_proxy": P}, None, None, ""),
    (curl, {"HTTP_PROXY": P, "HTTPS_PROXY": P, "https_proxy": ""}, None, P, ""),
    (curl, {"all_proxy": P, "no_proxy": "", "NO_PROXY": "b"}, P, P, "b"),
    (wget, {"HTTP_PROXY": P, "HTTPS_PROXY": P, "NO_PROXY": "b"}, None, None, ""),
    (wget, {"http_proxy": P, "https_proxy": P, "no_proxy": "b"}, P, P, "b"),
    (python_urllib, {"HTTP_PROXY": P, "http_proxy": "", "no_proxy": "", "NO_PROXY": "b"}, None, None, ""),
    (python_urllib, {"HTTPS_PROXY": P, "NO_PROXY": "b", "all_proxy": P}, None, P, "b"),
    (python_requests, {"HTTP_PROXY": P, "http_proxy": "", "no_proxy": "", "NO_PROXY": "b"}, None, None, "b"),
    (python_requests, {"http_proxy": "", "ALL_PROXY": P}, P, P, ""),
]


@pytest.mark.parametrize(("module", "environment", "http", "https", "no_proxy"), VARIABLES)
def test_precedence_of_variables(module, environment, http, https, no_proxy):
    """Families differ in upper and lower case, and in the effect of an empty variable."""
    variables = module.VARIABLES
    assert variables.proxy(environment, "http") == http
    assert variables.proxy(environment, "https") == https
    assert variables.exceptions(environment) == no_proxy
