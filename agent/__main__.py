"""Entry point of the program, before anything else is imported; `python -m agent` in a checkout."""

import os
import sys


def main() -> int:
    """Run the command line of this process, and return its exit code."""
    _open_closed_streams()
    if sys.argv[1:2] != ["run"]:
        return _command_line()
    from agent.daemon.facts_process import FactsProcess

    with FactsProcess() as facts_process:
        return _command_line(facts_process)


def _open_closed_streams() -> None:
    """Open /dev/null in place of closed standard streams (`>&-`).

    The next file or pipe that is opened would become such a descriptor.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor, which is this one


def _command_line(facts_process: object = None) -> int:
    try:
        from agent import cli
    except (ImportError, OSError) as error:  # an incomplete installation, or the limit of open files
        raise SystemExit(f"eks-proxy-agent: cannot be loaded: {error}") from None
    return cli.main(facts_process=facts_process)


if __name__ == "__main__":
    raise SystemExit(main())
