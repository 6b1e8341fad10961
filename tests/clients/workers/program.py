"""Run a program for each case: program.py PROGRAM ARGUMENT ... CASES.

{} is replaced by the URL, {netloc} by its host and port.
"""

import subprocess
import sys
from urllib.parse import urlsplit

from each import urls

for url in urls():
    words = [word.replace("{}", url).replace("{netloc}", urlsplit(url).netloc) for word in sys.argv[1:-1]]
    try:
        subprocess.run(
            words,
            check=False,
            timeout=20,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        print(f"{' '.join(words)}: timed out after 20 s", file=sys.stderr)
