"""The libcurl of a version of pycurl."""

import contextlib

import pycurl
from each import urls

for url in urls():
    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.TIMEOUT, 10)
    curl.setopt(pycurl.WRITEFUNCTION, len)
    with contextlib.suppress(pycurl.error):
        curl.perform()
    curl.close()
