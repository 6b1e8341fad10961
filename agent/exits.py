"""Conversion of errors into exit codes; no other module does this."""

from __future__ import annotations

import os
import sys
from typing import Callable

from agent import journal
from agent.errors import AgentError


def guarded(work: Callable[[], int]) -> int:
    """Run `work` and return its exit code; print an error on stderr and return the error's code."""
    try:
        code = work()
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except AgentError as error:
        return _fail(str(error), error.hint, error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes stdout again at exit
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        return _fail(str(error), "", 1)
    except MemoryError:
        return _fail("out of memory", "", 1)


def _fail(message: str, hint: str, code: int) -> int:
    from agent.core.redact import redact

    for line in message.splitlines() or [""]:
        journal.print_line("eks-proxy-agent: " + redact(line))
    if hint:
        journal.print_line("hint: " + redact(hint))
    return code
