"""dnf with `proxy=` as in dnf.conf; libdnf and librepo leave NO_PROXY to libcurl."""

import contextlib
import os
import tempfile

import dnf
import dnf.repo
from each import urls

with tempfile.TemporaryDirectory() as directory:
    for number, url in enumerate(urls()):
        base = dnf.Base()
        base.conf.substitutions["releasever"] = "1"  # otherwise dnf searches for the release of the distribution
        base.conf.cachedir = os.path.join(directory, str(number))
        base.conf.proxy = os.environ.pop("http_proxy", "")
        base.conf.retries = 1
        base.conf.timeout = 10
        repo = dnf.repo.Repo("case", base.conf)
        repo.baseurl = [url]
        with contextlib.suppress(dnf.exceptions.RepoError):
            repo.load()
        base.close()
