"""The one place where errors become exit codes."""

from __future__ import annotations

import os
import sys
from typing import Callable

from agent.errors import AgentError


def guarded(work: Callable[[], int]) -> int:
    """Do something, and answer its exit code, or that of the error that it ended with, which is told."""
    try:
        code = work()
        sys.stdout.flush()
        return code
    except AgentError as error:
        return _fail(str(error), error.hint, error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the exit's own flush is quiet
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
        print("eks-proxy-agent: " + redact(line), file=sys.stderr)
    if hint:
        print("hint: " + redact(hint), file=sys.stderr)
    return code
