"""The bed: a network with its services, and the trials (a case on a node) that run in it."""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import aws, root
from .boot import Boot
from .case import Case
from .namespace import Namespace
from .node import Node, Running
from .prepare import prepare
from .services import IMAGE, Metadata, Registry, Squid
from .session import Session
from .verify import verify


class Bed:
    """Everything outside the nodes, created once a test session."""

    def __init__(self) -> None:
        """Remove leftovers of a killed session, then start the services.

        Takes minutes if no root is cached.
        """
        self.base = root.base()
        self.session = Session()
        try:
            self.namespace = Namespace(self.session.name)
            self.squid = Squid(self.namespace, self.session.work / "squid")
            self.registry = Registry(self.namespace, self.session.work / "registry")
        except BaseException:
            self.session.close()
            raise
        self._nodes = 0

    def trial(self, case: Case, image: Trial | None = None) -> Trial:
        """Return a new node, powered off, with the case's image or a copy of a node's disk."""
        self._nodes += 1
        name = f"{self.session.name}-{self._nodes}"
        return Trial(self, case, name, self.session.work / name, image)

    def close(self) -> None:
        """Stop the services and remove everything."""
        self.session.close()


class Trial:
    """A case on a node of its own."""

    def __init__(self, bed: Bed, case: Case, name: str, directory: Path, image: Trial | None = None) -> None:
        """Create the node's root; see Bed.trial."""
        self.bed = bed
        self.case = case
        self.served_at = 0  # when the metadata service was last started, in microseconds of the monotonic clock
        self._metadata: Metadata | None = None
        self._requests = 0
        self._boots = 0
        self._served = 0
        base = root.base(case.suite)
        layers = [root.agent(case.suite), base] if case.agent else [base]
        layers = [aws.cli(), *layers] if case.aws_cli else layers
        self.node = Node(name, directory, layers, bed.namespace, image and image.node, pods=case.pods)
        self.root = self.node.root
        try:
            if image is None:
                prepare(case, self.root)
        except BaseException:
            self.close()
            raise

    def serve(self) -> None:
        """Start the metadata service of the instance whose boot began last."""
        assert self._metadata is None, "the metadata service runs already"
        metadata = self.case.numbered("metadata.json", self._boots)
        assert metadata is not None, f"{self.case.name} has no metadata.json"
        self.served_at = time.monotonic_ns() // 1000
        self._served += 1
        directory = self.node.directory / f"metadata-{self._served}"
        user_data = self.case.numbered("user-data", self._boots)
        content = user_data.read_bytes() if user_data else b""
        for encoding in self.case.user_data_encoding:
            content = {"gzip": gzip.compress, "base64": base64.encodebytes}[encoding](content)
        self._metadata = Metadata(self.bed.namespace, directory, metadata, content)

    def change_instance(self, **values: Any) -> None:
        """Change values of the instance; the metadata service reads its file again by itself."""
        path = self.node.directory / f"metadata-{self._served}/instance.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({**json.loads(path.read_text()), **values}))
        fresh.rename(path)

    def stop_serving(self) -> None:
        """Stop the metadata service; its address refuses connections from then on."""
        if self._metadata is not None:
            self._metadata.stop()
            self._metadata = None

    def start(self, *, hold: bool = False, limit: float = 90) -> Running:
        """Begin the next boot; with `hold` it goes on at Running.finish().

        The metadata service starts with it, or as late as the case says (then this call takes as
        long).
        """
        self.stop_serving()
        self._boots += 1
        self._requests = len(self.bed.squid.requests())
        begin = time.monotonic()
        if self.case.serve_after == 0:
            self.serve()
        running = self.node.start(pull=IMAGE if self.case.pull else "", hold=hold, limit=limit)
        if self.case.serve_after > 0:
            time.sleep(max(0, self.case.serve_after - (time.monotonic() - begin)))
            self.serve()
        return running

    def finish(self, running: Running) -> Boot:
        """Let a boot end, and check it against the case."""
        boot = running.finish()
        verify(self.case, boot, self.root, self.requests())
        return boot

    def boot(self, limit: float = 90, **differently: Any) -> Boot:
        """Boot and check against the case.

        Keyword arguments replace keys of case.toml, for this boot and all later ones.
        """
        self.case = replace(self.case, **differently)
        return self.finish(self.start(limit=limit))

    def requests(self) -> list[str]:
        """Return Squid's requests since the last boot began, without health checks of the agent.

        Squid may log one of an earlier boot late.
        """
        lines = self.bed.squid.requests()[self._requests :]
        return [line for line in lines if '"eks-proxy-agent/' not in line]

    def bake(self) -> None:
        """Prepare the node as an image, as EKS image builds do.

        The machine id and the instance data of cloud-init are removed.
        """
        (self.root / "etc/machine-id").write_text("")
        shutil.rmtree(self.root / "var/lib/cloud", ignore_errors=True)

    def close(self) -> None:
        """Stop everything and remove the node.

        With BOOT_KEEP=DIRECTORY the evidence of its boots is copied there.
        """
        self.stop_serving()
        for probe in self.node.directory.glob("probe-*") if "BOOT_KEEP" in os.environ else []:
            kept = Path(os.environ["BOOT_KEEP"]) / f"{self.case.name}-{probe.name}"
            shutil.copytree(probe, kept, symlinks=True, dirs_exist_ok=True)
        self.node.close()
