"""How systemd has wired units now; one call of systemctl for all of them."""

from __future__ import annotations

from collections.abc import Sequence

from agent.core.wiring import PROPERTIES, Wiring, parse_wiring
from agent.edges import command
from agent.errors import CommandError

#: Seconds until systemctl is given up: it waits for PID 1, which may be busy.
BOUND = 4.0


def wirings(names: Sequence[str]) -> dict[str, Wiring]:
    """Wiring by name, those that do not exist included; raises CommandError."""
    if not names:
        return {}
    try:
        output = command.run(["systemctl", "show", "--property=" + PROPERTIES, "--", *names], timeout=BOUND).stdout
    except CommandError as error:
        raise CommandError(str(error), hint="does systemd answer?  systemctl is-system-running") from None
    return {name: parse_wiring(name, block) for name, block in zip(names, output.strip().split("\n\n"))}
