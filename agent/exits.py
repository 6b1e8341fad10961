"""Conversion of errors into exit codes; no other module does this."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Callable

from agent import journal
from agent.core.redact import redact
from agent.errors import AgentError


def guarded(work: Callable[[], int]) -> int:
    """Run `work` and return its exit code; print an error on stderr and return the error's code."""
    try:
        code = _code(work)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except AgentError as error:
        return _fail(str(error), error.hint, error.exit_code)
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        return _fail(_text(error), "", 1)
    except ImportError as error:
        hint = "raise the limit of open files (ulimit -n) if it is low; otherwise reinstall the package"
        return _fail(f"cannot load a part of the agent: {error}", hint, 1)
    except MemoryError:
        return _fail("out of memory", "", 1)
    finally:
        _discard_output()


def _code(work: Callable[[], int]) -> int:
    """Return the exit code of `work`, also if the parser ends it (--help, wrong usage)."""
    try:
        return work()
    except SystemExit as end:
        return int(end.code or 0)


def _discard_output() -> None:
    """Discard what stdout does not take.

    Python flushes it once more at exit, and would exit with code 120.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.close(1)  # first: at the limit of open files there is no other descriptor
            os.open(os.devnull, os.O_WRONLY)
            sys.stdout.flush()


def _text(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"{os.fsdecode(error.filename)}: {reason}" if isinstance(error.filename, (str, bytes)) else reason


def _fail(message: str, hint: str, code: int) -> int:
    for line in message.splitlines() or [""]:
        journal.print_line("eks-proxy-agent: " + redact(line))
    if hint:
        journal.print_line("hint: " + redact(hint))
    return code
