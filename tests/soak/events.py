"""The events: each changes the node, and the world that the node is compared with.

An event draws from a random.Random of its own step, and depends on nothing but that and the world,
so that a seed makes the same events again.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Callable

from tests.status_schema import problems as schema_problems

from .node import AGENT, SoakNode
from .world import (
    ADDRESSES,
    CONFIG,
    CONFIG_D,
    CREDENTIALS,
    DNF,
    ENVIRONMENT,
    NODE_ENV,
    OPTIONAL_UNITS,
    UNITS,
    World,
    drop_in,
)

DAEMON, RUNTIMES = "daemon", "runtimes"  # what an event restarts
METADATA_MODES = (
    "404",
    "403",
    "500",
    "late",
    "too late",
    "closed",
    "garbage",
    "page",
    "empty",
    "truncated",
    "flapping",
)
#: Settings that are wrong: name, text appended to config.toml, and what the error must say.
WRONG = {
    "unknown key": ("\n[failure]\noops = 1\n", "oops"),
    "not TOML": ("\n[failure\n", "TOML|toml"),
    "wrong type": ("\n[failure]\npolicy = 7\n", "policy"),
    "wrong value": ('\n[failure]\npolicy = "ajar"\n', "policy"),
    "section twice": ("\n[proxy]\n", "proxy"),
    "NUL": ("\n# \0\n", "TOML|toml"),
}
FLOODS = {
    "files": 'for i in $(seq 4000); do : > "$1/.soak-$i"; done; rm -f "$1"/.soak-*',
    "renames": 'touch "$1/.soak-a"; for i in $(seq 400); do mv "$1/.soak-a" "$1/.soak-b"; mv "$1/.soak-b" "$1/.soak-a"; done; rm -f "$1"/.soak-*',
    "overflow": """python3 -c 'import os, sys
for i in range(30000):
    a = sys.argv[1] + "/.soak-" + "ab"[i % 2]
    os.close(os.open(a, os.O_CREAT | os.O_WRONLY)); os.rename(a, sys.argv[1] + "/.soak-c")
os.unlink(sys.argv[1] + "/.soak-c")' "$1" """,
    "touches": "for i in $(seq 400); do touch /etc/environment; done",
}
COMMANDS = (
    "apply",
    "apply --refresh",
    "plan",
    "plan --json",
    "status",
    "status --full",
    "status --json",
    "check",
    "check --json",
    "config check",
)


@dataclass(frozen=True)
class Done:
    """What an event did: words for its line, what it restarted, and what it found out at once."""

    text: str
    restarts: str = ""
    problems: tuple[str, ...] = ()


Act = Callable[[SoakNode, World, random.Random], Done]


@dataclass(frozen=True)
class Event:
    """An event, and how often it comes; `when` says if the world allows it."""

    name: str
    act: Act
    weight: int
    when: Callable[[World], bool] = lambda world: True
    clears: bool = False  # it ends a condition


# --- settings


def valid_settings(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Edit one of the settings; this also corrects wrong ones and brings removed ones back."""
    key = rng.choice(["no_proxy", "urls", "one url", "units", "environment", "yum", "credentials_in_yum", "nothing"])
    if key == "no_proxy":
        world.no_proxy = [f"host{rng.randrange(1000)}.example.test" for _ in range(rng.randrange(5))]
    elif key == "urls":
        world.urls = rng.sample(ADDRESSES, rng.randint(2, 3))
    elif key == "one url":
        world.urls = [rng.choice(ADDRESSES)]
    elif key == "units":
        world.units = [*UNITS, *rng.sample(OPTIONAL_UNITS, rng.randrange(len(OPTIONAL_UNITS) + 1))]
    elif key == "environment":
        world.has_environment = not world.has_environment
    elif key == "yum":
        world.has_yum = not world.has_yum
    elif key == "credentials_in_yum":
        world.is_yum_private = not world.is_yum_private
    return _save_settings(node, world, rng, key)


def put_back(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Correct wrong settings, or bring removed ones back."""
    return _save_settings(node, world, rng, "put back")


def _save_settings(node: SoakNode, world: World, rng: random.Random, text: str) -> Done:
    world.wrong, world.is_removed = "", False
    is_atomic = rng.random() < 0.5
    node.sh(f"rm -rf {CONFIG_D}")
    node.write(CREDENTIALS, world.credentials(), mode=0o600)
    node.write(CONFIG, world.config(), atomic=is_atomic)
    return Done(f"{text}, {'renamed' if is_atomic else 'in place'}")


def wrong_settings(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Make the settings wrong, in one of the files."""
    name = rng.choice([*WRONG, "config.d", "credentials readable", "credentials missing"])
    if name == "credentials readable":
        node.sh(f"chmod 644 {CREDENTIALS}")
        world.wrong = "credentials"
    elif name == "credentials missing":
        node.sh(f"rm {CREDENTIALS}")
        world.wrong = "credentials"
    elif name == "config.d":
        node.sh(f"mkdir -p {CONFIG_D}; echo 'x = 1' > {CONFIG_D}/50-soak.toml")
        world.wrong = "50-soak.toml"
    else:
        text, world.wrong = WRONG[name]
        node.write(CONFIG + ".add", "")
        node.sh(
            f'printf "%b" "$1" > {CONFIG}.add; cat {CONFIG}.add >> {CONFIG}; rm {CONFIG}.add',
            text.replace("\0", "\\000"),
        )
    return Done(name)


def remove_settings(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Remove config.toml: the node is unconfigured, and nothing of the proxy stays."""
    node.sh(f"rm -rf {CONFIG} {CONFIG_D}")
    world.wrong, world.is_removed = "", True
    return Done("config.toml removed")


def change_password(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Write another password to the credentials file."""
    world.password = f"Tr0ub4dor{rng.randrange(10**6)}"
    world.secrets.add(world.password)
    node.write(CREDENTIALS, world.credentials(), mode=0o600, atomic=rng.random() < 0.5)
    return Done("another password")


# --- instance, metadata and proxies


def change_cidrs(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Add a CIDR to the VPC, or remove one."""
    if len(world.cidrs) > 2 and rng.random() < 0.5:
        cidr = rng.choice(world.cidrs[1:])
        world.cidrs.remove(cidr)
        text = f"without {cidr}"
    else:
        cidr = f"10.{rng.randint(1, 250)}.0.0/16"
        world.cidrs = [*world.cidrs, *([] if cidr in world.cidrs else [cidr])]
        text = f"with {cidr}"
    node.save_instance()
    return Done(text)


def break_metadata(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Let the metadata service misbehave, or end."""
    world.metadata = rng.choice([*METADATA_MODES, "off"])
    node.set_metadata(world.metadata)
    return Done(world.metadata)


def repair_metadata(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Let the metadata service behave well again."""
    world.metadata = "well"
    node.set_metadata("well")
    return Done("well")


def stop_proxy(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Stop a proxy; the last one too."""
    address = rng.choice(sorted(world.alive))
    world.alive.remove(address)
    node.stop_proxy(address)
    return Done(f"{address}, {len(world.alive)} left")


def start_proxies(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Start one proxy that is down, or all."""
    down = [address for address in ADDRESSES if address not in world.alive]
    back = down if rng.random() < 0.5 else [rng.choice(down)]
    for address in back:
        node.start_proxy(address)
        world.alive.add(address)
    return Done(" ".join(back))


# --- files


def tamper(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Edit, empty, delete or link a managed file, as another program does."""
    paths = [ENVIRONMENT, ENVIRONMENT, DNF, NODE_ENV, drop_in("docker"), drop_in("kubelet")]
    path = rng.choice([path for path in paths if path != world.blocked])
    how = rng.choice(["append", "change", "empty", "delete", "chmod", "copy"])
    shared = path in (ENVIRONMENT, DNF)
    line = f'SOAK_{rng.randrange(100)}="a b"' if path == ENVIRONMENT else f"soak_{rng.randrange(100)}=1"
    if how == "chmod" and path != NODE_ENV:
        how = "append"  # the agent guards the mode of node.env alone
    scripts = {
        "append": 'printf "%s\\n" "$2" >> "$1"',
        "change": 'sed -i "s/192\\.0\\.2/198.51.100/" "$1"',
        "empty": ': > "$1"',
        "delete": 'rm -f "$1"',
        "chmod": 'chmod 666 "$1"',
        "copy": 'cp -p "$1" "$1.soak" && mv "$1.soak" "$1"',
    }
    guard = "" if how == "append" and shared else '[ ! -e "$1" ] || '
    node.sh(f"{guard}{{ {scripts[how]}; }}", path, line)
    if path == ENVIRONMENT and how in ("change", "delete", "copy"):
        world.linked = 0  # these replace a link
    if shared and how in ("empty", "delete"):
        world.edit(path, b"")
        world.deleted |= {path} if how == "delete" else set()
    elif shared and how == "append":
        others = world.others[path]
        world.edit(path, others + (b"" if not others or others.endswith(b"\n") else b"\n") + f"{line}\n".encode())
    return Done(f"{how} {path}")


def link_environment(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Move /etc/environment away and link it, or put a copy in the place of the link."""
    if world.linked:
        target = f"{ENVIRONMENT}.real-{world.linked}"
        world.linked = 0
        copy = f"cp {target} {ENVIRONMENT}.soak && mv {ENVIRONMENT}.soak {ENVIRONMENT}"
        node.sh(f"if [ -e {target} ]; then {copy}; else rm {ENVIRONMENT}; fi")  # it may be deleted and not needed
        return Done(f"{target} copied in the place of its link")
    world.linked = rng.randrange(1, 10**6)
    target = f"{ENVIRONMENT}.real-{world.linked}"
    node.sh(f"[ ! -e {ENVIRONMENT} ] || mv {ENVIRONMENT} {target}; ln -s {target} {ENVIRONMENT}")
    return Done(f"moved to {target} and linked")


def block_file(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Link a drop-in to /dev/null, which masks it: it cannot be written."""
    world.blocked = drop_in(rng.choice(["docker", "kubelet"]))
    node.sh('mkdir -p "${1%/*}"; ln -sf /dev/null "$1"', world.blocked)
    return Done(f"{world.blocked} -> /dev/null")


def unblock_file(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Remove that link."""
    path, world.blocked = world.blocked, ""
    node.sh('rm "$1"', path)
    return Done(path)


def flood(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Make more inotify events than a person ever would."""
    name, directory = rng.choice(sorted(FLOODS)), rng.choice(["/etc", "/etc/eks-proxy-agent", "/etc/dnf"])
    node.sh(FLOODS[name], directory)
    return Done(f"{name} in {directory}")


def fill(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Let /run or the directory of the state have no room: no byte, or no inode either."""
    world.full = rng.choice(["/run", "/var"])
    place = "/run" if world.full == "/run" else "/var/lib/eks-proxy-agent"
    slack = rng.choice([0, 4, 8])
    node.sh(f"""used=$(df --output=used -k {place} | tail -1); inodes=$(df --output=iused {place} | tail -1)
        mount -o remount,size=$((used + {slack}))k,nr_inodes=$((inodes + {rng.choice([1, 100])})) {place}
        df -k {place}""")  # fmt: skip
    return Done(f"{place}, {slack} KiB left")


def free(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Make room again."""
    place = "/run" if world.full == "/run" else "/var/lib/eks-proxy-agent"
    size = "1g,nr_inodes=500k" if world.full == "/run" else "1m,nr_inodes=10k"
    world.full = ""
    node.sh(f"mount -o remount,size={size} {place}")
    return Done(place)


def jump_clock(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Let the agent's time of day jump."""
    world.ahead = rng.choice([0, 60, -60, 3600, -3600, 86400 * 400, -86400 * 400, 86400 * 365 * 20])
    node.write("/etc/clock-ahead", f"{world.ahead}\n")
    return Done(f"{world.ahead:+d} s")


# --- processes


def reload_storm(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Send many SIGHUPs."""
    count, pause = rng.randint(20, 200), rng.choice(["0", "0.01", "0.05"])
    node.sh(f"""main=$(systemctl show --value --property=MainPID {AGENT})
        for _ in $(seq {count}); do kill -HUP "$main"; [ {pause} = 0 ] || sleep {pause}; done""")  # fmt: skip
    return Done(f"{count} SIGHUPs")


def kill_worker(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Send a signal to the worker of a cycle."""
    number, delay = rng.choice(["KILL", "KILL", "KILL", "TERM", "SEGV"]), rng.uniform(0, 0.6)
    return Done(f"SIG{number} after {delay:.2f} s: {node.kill_worker(number, delay)}")


def kill_daemon(node: SoakNode, world: World, rng: random.Random) -> Done:
    """End the daemon; systemd or an operator starts it again."""
    how = rng.choice(["KILL", "KILL", "SEGV", "TERM", "restart"])
    before = node.pid()
    if how == "restart":
        node.sh(f"systemctl restart {AGENT}")
    else:
        node.sh(f"systemctl kill --kill-whom=main --signal={how} {AGENT}")
        if how == "TERM":  # a clean exit, after which systemd does not restart it
            node.running.wait_until("the daemon to end", "sh", "-c", f"! kill -0 {before}", limit=40)
            node.sh(f"systemctl start {AGENT}")
    node.running.wait_until(
        "another daemon",
        "sh",
        "-c",
        f"pid=$(systemctl show --value --property=MainPID {AGENT}); [ $pid != 0 ] && [ $pid != {before} ]",
        limit=60,
    )
    node.sh(f"systemctl reset-failed {AGENT}")  # the limit of ten starts in ten minutes is not for those of the soak
    return Done(how, restarts=DAEMON)


def pause_daemon(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Stop the daemon for some seconds, as a frozen machine does."""
    seconds = rng.randint(2, 12)
    node.sh(f"""systemctl kill --kill-whom=all --signal=STOP {AGENT}; sleep {seconds}
        systemctl kill --kill-whom=all --signal=CONT {AGENT}""")  # fmt: skip
    return Done(f"{seconds} s")


def restart_runtime(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Restart a unit, as an operator does, or reload systemd."""
    unit = rng.choice(["docker", "containerd", "kubelet", ""])
    node.sh(f"systemctl restart {unit}" if unit else "systemctl daemon-reload")
    return Done(unit or "daemon-reload", restarts=RUNTIMES if unit else "")


def run_commands(node: SoakNode, world: World, rng: random.Random) -> Done:
    """Run several commands at the same time; none may fail in another way than it documents."""
    names = [rng.choice(COMMANDS) for _ in range(rng.randint(2, 6))]
    problems = []
    codes = []
    for name, (code, output) in zip(names, node.results([f"eks-proxy-agent {name}" for name in names])):
        codes.append(f"{name}={code}")
        if code not in (0, 1, 3, 75, 78):
            problems.append(f"{name}: exit code {code}: {output[-500:]}")
        if "Traceback" in output:
            problems.append(f"{name}: traceback: {output[-2000:]}")
        problems += [f"{name}: shows the password" for secret in world.secrets if secret in output]
        if name.startswith("status") and code != 0 and not world.full:
            problems.append(f"{name}: exit code {code}: {output[-500:]}")
        if name == "status --json" and code == 0:
            problems += _schema(output)
    return Done(", ".join(codes), problems=tuple(problems))


def _schema(output: str) -> list[str]:
    try:
        return [f"status --json: {problem}" for problem in schema_problems(json.loads(output[output.index("{") :]))]
    except ValueError as error:
        return [f"status --json: {error}: {output[-500:]}"]


def has_room(world: World) -> bool:
    """Return True if systemd can start the daemon (docs/decisions/daemon.md: it needs inodes)."""
    return world.full != "/run"


EVENTS = (
    Event("settings.valid", valid_settings, 12),
    Event("settings.wrong", wrong_settings, 5, lambda world: not world.wrong and not world.is_removed),
    Event("settings.removed", remove_settings, 3, lambda world: not world.is_removed),
    Event("settings.back", put_back, 12, lambda world: bool(world.wrong) or world.is_removed, clears=True),
    Event("settings.password", change_password, 3, lambda world: not world.wrong),
    Event("vpc.cidrs", change_cidrs, 7),
    Event("metadata.broken", break_metadata, 7),
    Event("metadata.well", repair_metadata, 14, lambda world: world.metadata != "well", clears=True),
    Event("proxy.stop", stop_proxy, 6, lambda world: bool(world.alive)),
    Event("proxy.start", start_proxies, 7, lambda world: len(world.alive) < len(ADDRESSES), clears=True),
    Event("file.tamper", tamper, 16),
    Event("file.link", link_environment, 3),
    Event("file.block", block_file, 2, lambda world: not world.blocked),
    Event("file.unblock", unblock_file, 20, lambda world: bool(world.blocked), clears=True),
    Event("inotify.flood", flood, 5),
    Event("room.none", fill, 5, lambda world: not world.full),
    Event("room.free", free, 10, lambda world: bool(world.full), clears=True),
    Event("clock.jump", jump_clock, 5),
    Event("daemon.hup", reload_storm, 5),
    Event("daemon.kill", kill_daemon, 5, has_room),
    Event("daemon.pause", pause_daemon, 2),
    Event("worker.kill", kill_worker, 8),
    Event("unit.restart", restart_runtime, 3, has_room),
    Event("commands", run_commands, 8),
)
#: More than so many conditions at the same time are not added: an event ends one first.
CONDITIONS = 3


def draw(world: World, rng: random.Random) -> Event:
    """Return the next event."""
    allowed = [event for event in EVENTS if event.when(world)]
    if len(world.conditions) >= CONDITIONS:
        allowed = [event for event in allowed if event.clears]
    return rng.choices(allowed, [event.weight for event in allowed])[0]


def named(name: str) -> Event:
    """Return the event of a name."""
    return next(event for event in EVENTS if event.name == name)
