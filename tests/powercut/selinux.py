"""The machine with SELinux enforcing: labels of the agent's files, and denials.

`make powercut` runs it once; README.md has the result.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.boot.harness import case as cases
from tests.boot.harness.command import run

from . import checks, image
from .machine import Machine

CASE = cases.load("power-cut")
#: Without apparmor, the default of Debian, in the list.
ENFORCING = ("lsm=selinux", "enforcing=1")
CONTEXTS = "/etc/selinux/default/contexts/files/file_contexts"
# setfiles(8) sets labels by way of /proc.
LABEL = f"mount -t proc proc $1/proc && chroot $1 setfiles -F {CONTEXTS} /"
#: Runs in the machine after its boot.  restorecon(8) -n prints each file whose label is not the
#: policy's; `cat` because its domain may not write to this file.
SCRIPT = """
PATH=/usr/sbin:/usr/bin:/sbin:/bin
wrong_labels() { restorecon -nvR /etc /var/lib/eks-proxy-agent /usr/local/share 2>&1 | cat; }
echo "enforcing $(cat /sys/fs/selinux/enforce)"
echo "domain $(tr -d '\\0' < /proc/$(systemctl show --value -p MainPID eks-proxy-agent)/attr/current)"
wrong_labels
for command in revert apply; do
    # On a busy host the emulated metadata service may take longer than a command waits.
    eks-proxy-agent $command > /dev/null || eks-proxy-agent $command > /dev/null; echo "$command $?"
    wrong_labels
done
stat --format='%C %n' /etc/environment /etc/dnf/dnf.conf /etc/eks-proxy-agent/node.env \\
    /etc/systemd/system/docker.service.d/zz-eks-proxy.conf /var/lib/eks-proxy-agent/baseline.json
"""
#: A local label that the policy does not know: only a write that keeps labels keeps it.
MARK = b"system_u:object_r:net_conf_t:s0\0"
MARKED = ("etc/environment", "etc/dnf/dnf.conf")
#: A file that the agent creates in /etc gets the type that Debian's policy gives to all files that
#: services without a domain of their own (initrc_t) create there.
CREATED = ("etc/eks-proxy-agent/node.env", "etc_runtime_t")
#: What the script prints, besides the labels of the marked files.
EXPECTED = ("enforcing 1", "revert 0", "apply 0")


def problems(directory: Path) -> Iterator[str]:
    """Boot a labelled node with SELinux enforcing; print its labels, yield what is wrong."""
    parts = image.layers()
    disk = directory / "disk"
    image.create(disk, CASE, parts)
    with image.mounted(disk, writable=True) as root:
        config = root / "etc/selinux/config"
        config.write_text(config.read_text().replace("SELINUX=permissive", "SELINUX=enforcing"))
        run(["unshare", "--mount", "sh", "-ec", LABEL, "sh", root], timeout=300)
        for name in MARKED:
            checks.set_label(root / name, MARK)
        (root / "probe/script").write_text(SCRIPT)
    ended = Machine(directory, parts.kernel, parts.initrd).run(disk, random.Random(0), options=ENFORCING)
    with image.mounted(disk) as root:
        if not (root / "probe/done").exists():
            yield f"the boot did not settle:\n{ended.console[-3000:]}"
            return
        printed = (root / "probe/script.out").read_text()
        print(f"{ended.seconds:.0f} s\n{printed}", flush=True)
        lines = printed.splitlines()
        yield from (f"not printed: {line}" for line in EXPECTED if line not in lines)
        yield from (line for line in lines if line.startswith("Would relabel") and not _is_expected(line))
        for name in MARKED:
            if checks.label(root / name) != MARK:
                yield f"/{name}: its label was lost: {checks.label(root / name)!r}"
        yield from _denials(root)


def _is_expected(line: str) -> bool:
    """Return True if a line "Would relabel PATH from LABEL to LABEL" has a label that we expect."""
    words = line.split()
    name, label = words[2].lstrip("/"), words[4]
    return name in MARKED or (name == CREATED[0] and f":{CREATED[1]}:" in label)


def _denials(root: Path) -> Iterator[str]:
    """Yield each denial of the agent, and print how many others there were."""
    messages = [json.loads(line).get("MESSAGE") for line in (root / "probe/journal.jsonl").read_text().splitlines()]
    denials = [text for text in messages if isinstance(text, str) and "avc:  denied" in text]
    ours = [text for text in denials if 'comm="eks-proxy-agent"' in text or "initrc_t" in text.split("tcontext")[0]]
    print(f"{len(denials)} denials, of the agent's domain {len(ours)}", flush=True)
    yield from ours


def main() -> int:
    """Return 0 without a problem."""
    with image.workspace() as directory:
        found = list(problems(directory))
    for problem in found:
        print(f"FAILED {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
