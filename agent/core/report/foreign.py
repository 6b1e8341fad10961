"""Lines of files that others write too: those about proxies are shown, the others are not.  Pure.

A line of another program may hold a secret under any name.  So the lines to show are listed here,
and not the lines to mask.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from agent.core.plan.files.environment import assignments
from agent.core.redact import redact, redact_proxy
from agent.core.report.masks import MASKED, is_proxy_name

NOT_SHOWN = "(not shown)"
#: The unit files of the package, which are shown whole.  Not the agent's other files: someone may
#: have edited them.
_PACKAGED = re.compile(r"(?:/usr)?/lib/systemd/system/eks-proxy-agent(?:-bootstrap)?\.service")
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
#: One variable or key of a proxy, and nothing else on the line.
_PROXY_LINE = re.compile(
    r"[ \t]*(?:export[ \t]+)?(?P<name>(?:https?|no|all|ftp)_proxy|proxy)[ \t]*=[ \t]*"
    r"(?P<quote>[\"']?)(?P<value>[^\s\"';&|`$()<>]*)(?P=quote)[ \t]*\r?",
    re.IGNORECASE,
)
_SECTION = re.compile(r"[ \t]*(?:\[[A-Za-z0-9 ._:-]{1,80}\][ \t]*)?\r?")
_KEY = re.compile(r"[ \t]*(?P<key>[A-Za-z]{1,40})[ \t]*=[ \t]*(?P<value>[^\n]*)")
_QUOTES = "\"'"
#: The program of an Exec...= line, with the prefixes of systemd.service(5).
_PROGRAM = re.compile(r"[-@:+!|]{0,4}[\w./@%{}$-]{1,4096}")
_WORD = re.compile(r"(?:[^\s\"']|\"[^\"]*\"|'[^']*')+")
#: Keys of unit files whose values are names of units, paths, times or fixed words; see
#: systemd.directives(7).
_UNIT_KEYS = frozenset(
    "After Before Requires Wants BindsTo PartOf Requisite Upholds Conflicts OnFailure DefaultDependencies "
    "WantedBy RequiredBy Also Alias EnvironmentFile PassEnvironment AssertPathExists ConditionPathExists "
    "Type Restart RestartSec TimeoutStartSec TimeoutStopSec TimeoutSec RemainAfterExit NotifyAccess KillMode User Group "
    "WatchdogSec StartLimitBurst StartLimitIntervalSec SuccessExitStatus".split()
)


def unit_file(path: str, content: bytes) -> str:
    """Return a unit file or drop-in: those of the package whole, of others the known lines."""
    text = content.decode("utf-8", "replace")
    if _PACKAGED.fullmatch(path):
        return text
    lines = [_shown(line) for line in text.replace("\\\n", " ").rstrip("\n").split("\n")]
    shown = [line for line in lines if line is not None]
    return "\n".join([*shown, *_count(len(lines) - len(shown), "line")]) + "\n"


def environment(content: bytes) -> str:
    """Return the variables that systemd reads: values of proxies, names of the others."""
    lines = list(_variables(assignments(content).items()))
    return "\n".join(lines) + "\n" if lines else "(no variable that systemd reads)\n"


def process_environment(content: bytes) -> str:
    """Return the variables of /proc/PID/environ in the same form."""
    pairs = (item.decode("utf-8", "replace").partition("=") for item in content.split(b"\0") if item)
    valid = ((name, value) for name, _, value in pairs if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,255}", name))
    return "\n".join(_variables(valid)) + "\n"


def diff(text: str) -> str:
    """Return the diffs of `plan` and `check`, of their lines only the known ones.

    What precedes or follows a diff stays.
    """
    lines: list[str] = []
    before, after, is_continued = 0, 0, False
    for line in text.split("\n"):
        if before > 0 or after > 0:
            sign, rest = line[:1], line[1:]
            before -= sign in (" ", "-")
            after -= sign in (" ", "+")
            if sign in (" ", "-", "+"):
                shown = None if is_continued else _shown(rest)
                line = sign + (NOT_SHOWN if shown is None else shown)
                is_continued = rest.endswith("\\")
        else:
            hunk = _HUNK.match(line)
            if hunk:
                before, after = (1 if size is None else int(size) for size in hunk.groups())
                is_continued = False
        lines.append(line)
    return "\n".join(lines)


def _variables(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, value in sorted(dict(pairs).items()):
        yield f"{name}={redact_proxy(value) if is_proxy_name(name) else MASKED}"


def _shown(line: str) -> str | None:
    """Return what is shown of a line in a file of others; None if nothing."""
    if _SECTION.fullmatch(line):
        return line
    proxy = _PROXY_LINE.fullmatch(line)
    if proxy:
        return f"{proxy['name']}={redact_proxy(proxy['value'])}"
    setting = _KEY.fullmatch(line)
    if setting is None:
        return None
    key, value = setting["key"], setting["value"].strip()
    if key == "Environment":
        return _environment_line(value)
    if key == "UnsetEnvironment":
        return f"{key}={' '.join(word.strip(_QUOTES).partition('=')[0] for word in value.split())}"
    if key.startswith("Exec"):
        program, _, rest = value.partition(" ")
        is_path = not program or _PROGRAM.fullmatch(program)
        return f"{key}={program}{' (arguments not shown)' if rest else ''}" if is_path else None
    return redact(f"{key}={value}") if key in _UNIT_KEYS else None


def _environment_line(value: str) -> str:
    """Return Environment= with the variables of proxies; the others are counted."""
    words = [word.strip(_QUOTES) for word in _WORD.findall(value)]
    proxies = [_PROXY_LINE.fullmatch(word) for word in words]
    shown = [f"{match['name']}={redact_proxy(match['value'])}" for match in proxies if match]
    others = len(words) - len(shown)
    return "Environment=" + " ".join([*shown, *_count(others, "variable")])


def _count(number: int, what: str) -> list[str]:
    return [f"({number} other {what}{'s' * (number != 1)}, not shown)"] if number else []
