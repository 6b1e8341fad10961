"""Python's own urllib.request."""

import contextlib
import http.client
import urllib.request

from each import urls

for url in urls():
    with contextlib.suppress(OSError, http.client.HTTPException):
        urllib.request.build_opener().open(url, timeout=10).close()
