"""A node in a scratch directory, for tests of files: a realistic tree and the command line."""

import contextlib
import io
import json
import os
import stat
import sys
from pathlib import Path

from agent.cli import main
from tests import json_schemas

REPOSITORY = Path(__file__).parents[2]
PROXY = "http://proxy.corp:3128"
FACTS = {
    "instance_id": "i-0123456789abcdef0",
    "region": "eu-central-1",
    "vpc_cidrs_v4": ["10.0.0.0/16"],
    "vpc_cidrs_v6": ["2600:1f16:67f:f200::/56"],
}
#: Two units, not all: each adds one more file of the same kind.  AWS services are named, so that
#: nothing is probed.
CONFIG = '[proxy]\nurl = "%s"\n[node]\nunits = ["docker", "kubelet"]\n[aws]\ndirect = ["ec2", "s3"]\n'
ENVIRONMENT = b"# locale\nLANG=C.UTF-8\r\nhttp_proxy=http://old:1\nLAST=1"
DNF_CONF = b"[main]\ngpgcheck=1\nproxy=http://old:1\nproxy=http://old:1\n\n[local]\nname=local\n"
OTHER_DROP_IN = b"[Service]\nRestart=always\n"
OURS = ("var/lib/eks-proxy-agent", "run/eks-proxy-agent")


def rename_to_former(root):
    """Give the drop-ins, and their records, the names that an earlier version gave them."""
    for path in root.glob("etc/systemd/system/*.d/*zz-eks-proxy.conf*"):  # and temporaries of a killed run
        path.rename(path.with_name(path.name.replace("zz-", "90-")))
    baseline = root / "var/lib/eks-proxy-agent/baseline.json"
    if baseline.exists():
        baseline.write_text(baseline.read_text().replace("/zz-eks-proxy.conf", "/90-eks-proxy.conf"))


class Node:
    """A root tree, with its settings and facts in the parent directory."""

    def __init__(self, directory):
        self.directory = directory
        self.root = directory / "root"
        for name in (
            "etc/dnf",
            "etc/systemd/system/docker.service.d",
            "etc/systemd/system/sshd.service.d",
            "run",
            "var/lib",
        ):
            (self.root / name).mkdir(parents=True)
        self.write("etc/environment", ENVIRONMENT)
        self.write("etc/dnf/dnf.conf", DNF_CONF)
        (self.root / "etc/yum.conf").symlink_to("dnf/dnf.conf")
        self.write("etc/systemd/system/docker.service.d/10-other.conf", OTHER_DROP_IN)
        self.configure(PROXY)

    def configure(self, proxy, **facts):
        """Set proxy.url, and facts that differ from FACTS."""
        (self.directory / "config.toml").write_text(CONFIG % proxy)
        (self.directory / "facts.json").write_text(json.dumps({**FACTS, **facts}))

    def write(self, path, content):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(content)

    def read(self, path):
        return (self.root / path).read_bytes()

    def arguments(self, command, *flags):
        """Return the command line for `command` on this tree."""
        inputs = (
            ()
            if command in ("revert", "status")
            else ("--config", self.directory / "config.toml", "--facts", self.directory / "facts.json")
        )
        return [str(word) for word in (command, "--root", self.root, *inputs, *flags)]

    def argv(self, command, *flags):
        """Return the same for a process, to be run in REPOSITORY."""
        return [sys.executable, "-m", "agent", *self.arguments(command, *flags)]

    def run(self, command, *flags):
        """Run it in this process, and return (exit code, stdout, stderr)."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(self.arguments(command, *flags))
        json_schemas.check(self.arguments(command, *flags), out.getvalue())
        return code, out.getvalue(), err.getvalue()

    def apply(self, *flags):
        """Apply, assert success, and return stdout."""
        code, out, err = self.run("apply", *flags)
        assert code == 0, err
        return out

    def revert(self):
        """Revert, assert success, and return stdout."""
        code, out, err = self.run("revert")
        assert code == 0, err
        return out

    def tree(self, ours=False):
        """Return (mode, content or link) of every path; the agent's state only if `ours`."""
        return {
            path: (stat.S_IMODE(status.st_mode), content)
            for path, status, content in self._walk()
            if ours or not path.startswith(OURS)
        }

    def stamps(self):
        """Return (inode, mtime in ns) of every path, except /run, where writes are no change."""
        return {
            path: (status.st_ino, status.st_mtime_ns) for path, status, _ in self._walk() if not path.startswith("run")
        }

    def temporaries(self):
        """Return the temporary files that an interrupted write leaves."""
        return [path for path, _, _ in self._walk() if path.endswith(".eks-proxy-agent")]

    def _walk(self):
        for directory, directories, files in os.walk(self.root):
            for name in directories + files:
                path = Path(directory, name)
                status = path.lstat()
                if stat.S_ISLNK(status.st_mode):
                    content = "-> " + os.readlink(path)
                else:
                    content = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
                yield str(path.relative_to(self.root)), status, content
