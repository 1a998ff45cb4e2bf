"""A hundred API servers in one process, over HTTPS, each with a UID of its own and with faults that a test chooses.

    python -m tests.fleet.world FOLDER --clusters 100 --pods 2000

writes FOLDER/kubeconfig and says `ready`. What each cluster does is in FOLDER/behaviour.json, which is read again when
it changes: {"c-007": {"fault": "hang", "latency": 0.2, "uid": "…", "after": 10}}. Faults:

    refused    no server listens            blackhole  connections never come about
    hang       requests are never answered  reset      the connection is broken at each request
    expired    401 to everything            busy       every third request is a 429 with Retry-After
    errors     every third request is a 500 forbidden  403 to every list
    storm      every request is a 429 that says to come back in an hour
    endless    answers have no end                     redirect   to the first cluster
    garbage    200 with what is no JSON                certificate  one of an authority that nobody knows

after: the fault begins with this request. rebuilt: from this request on it is another cluster, with another UID.
All pods are the same everywhere, and so cost the server nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import yaml

from benchmarks.pods import write_pods
from pytest_kspec.cluster.objects.kinds import builtin_types
from tests.controlplane.certificates import Authority

TOKEN = "token-of-the-fleet"
PAGE = 500
READY = b"ready\n"
LABELS = ({"env": "prod", "region": "eu"}, {"env": "prod", "region": "us"}, {"env": "test", "region": "eu"})


def name_of(number: int) -> str:
    return f"c-{number:03d}"


def uid_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def _lists(pods: int, folder: Path) -> dict[str, list[bytes]]:
    """Path → pages."""
    found: dict[str, list[bytes]] = {}
    for one in builtin_types():
        head = f"/apis/{one.group}/{one.version}" if one.group else f"/api/{one.version}"
        found[f"{head}/{one.plural}"] = [_page(one.kind, one.api_version, [])]
    file = folder / "pods.json"
    write_pods(file, pods)
    items = json.loads(file.read_bytes())["items"]
    file.unlink()
    pages = [items[at : at + PAGE] for at in range(0, len(items), PAGE)] or [[]]
    found["/api/v1/pods"] = [
        _page("Pod", "v1", some, str(number + 1) if number + 1 < len(pages) else "")
        for number, some in enumerate(pages)
    ]
    names = sorted({item["metadata"]["namespace"] for item in items} | {"default", "kube-system"})
    spaces = [
        {"metadata": {"name": name, "uid": f"n-{name}", "labels": {"kubernetes.io/metadata.name": name}}}
        for name in names
    ]
    found["/api/v1/namespaces"] = [_page("Namespace", "v1", spaces)]
    return found


def _page(kind: str, api_version: str, items: list[Any], token: str = "") -> bytes:
    metadata = {"resourceVersion": "1", **({"continue": token} if token else {})}
    return json.dumps(
        {"kind": f"{kind}List", "apiVersion": api_version, "metadata": metadata, "items": items}
    ).encode()


def _discovery(core: bool) -> bytes:
    groups: dict[str, dict[str, list[Any]]] = {}
    for one in builtin_types():
        if (not one.group) == core:
            groups.setdefault(one.group, {}).setdefault(one.version, []).append(
                {
                    "resource": one.plural,
                    "responseKind": {"group": one.group, "version": one.version, "kind": one.kind},
                    "scope": "Namespaced" if one.namespaced else "Cluster",
                    "singularResource": one.kind.lower(),
                    "verbs": ["get", "list"],
                }
            )
    items = [
        {
            "metadata": {"name": group} if group else {},
            "versions": [
                {"version": version, "freshness": "Current", "resources": found}
                for version, found in versions.items()
            ],
        }
        for group, versions in groups.items()
    ]
    return json.dumps(
        {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": "apidiscovery.k8s.io/v2",
            "metadata": {},
            "items": items,
        }
    ).encode()


class _World:
    def __init__(self, folder: Path, clusters: int, pods: int) -> None:
        self.folder, self.clusters = folder, clusters
        self.lists = _lists(pods, folder)
        self.discovery = {"/api": _discovery(core=True), "/apis": _discovery(core=False)}
        self.requests: Counter[str] = Counter()
        self._behaviour: dict[str, dict[str, Any]] = {}
        self._read_at = -1.0
        self._held: list[socket.socket] = []
        self._ports: list[int] = []

    def behaviour(self, name: str) -> dict[str, Any]:
        path = self.folder / "behaviour.json"
        with contextlib.suppress(OSError, ValueError):
            changed = path.stat().st_mtime_ns
            if changed != self._read_at:
                self._behaviour = json.loads(path.read_text())
                self._read_at = changed
        return self._behaviour.get(name, {})

    async def run(self) -> None:
        authority = Authority(self.folder)
        pair = authority.issue("127.0.0.1")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pair.certificate, pair.key)
        strange = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (self.folder / "strange").mkdir()
        other = Authority(self.folder / "strange").issue("127.0.0.1")
        strange.load_cert_chain(other.certificate, other.key)
        ports = self._ports
        for number in range(self.clusters):
            name = name_of(number)
            fault = self.behaviour(name).get("fault")
            if fault in ("refused", "blackhole"):
                ports.append(self._dead(fault))
                continue
            server = await asyncio.start_server(
                lambda reader, writer, number=number: self._serve(number, reader, writer),
                "127.0.0.1", 0, ssl=strange if fault == "certificate" else tls, limit=1 << 20,
            )  # fmt: skip
            ports.append(server.sockets[0].getsockname()[1])
        self._write_kubeconfig(authority.certificate, ports)
        sys.stdout.buffer.write(READY)
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(
            None, sys.stdin.read
        )  # until whoever started it ends

    def _dead(self, fault: str) -> int:
        listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        port: int = listener.getsockname()[1]
        if fault == "refused":
            listener.close()
            return port
        self._held.append(listener)
        for _ in range(4):  # nobody accepts, and the queue is full
            one = socket.socket()
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(("127.0.0.1", port))
            self._held.append(one)
        return port

    def _write_kubeconfig(self, certificate: Path, ports: list[int]) -> None:
        authority = base64.b64encode(certificate.read_bytes()).decode()
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": name_of(number),
                    "cluster": {
                        "server": f"https://127.0.0.1:{port}",
                        "certificate-authority-data": authority,
                    },
                }
                for number, port in enumerate(ports)
            ],
            "users": [{"name": "scanner", "user": {"token": TOKEN}}],
            "contexts": [
                {
                    "name": name_of(number),
                    "context": {
                        "cluster": name_of(number),
                        "user": "scanner",
                        "extensions": [
                            {"name": "kspec.io", "extension": {"labels": LABELS[number % len(LABELS)]}}
                        ],
                    },
                }
                for number in range(len(ports))
            ],
        }
        (self.folder / "kubeconfig").write_text(yaml.safe_dump(document, sort_keys=False))

    async def _serve(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = head.split("\r\n")
                fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
                target = lines[0].split(" ")[1]
                if not await self._answer(number, target, fields, writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    async def _answer(
        self, number: int, target: str, fields: dict[str, str], writer: asyncio.StreamWriter
    ) -> bool:
        name = name_of(number)
        self.requests[name] += 1
        count = self.requests[name]
        told = self.behaviour(name)
        fault = told.get("fault", "") if count > told.get("after", 0) else ""
        if latency := told.get("latency"):
            await asyncio.sleep(latency)
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault == "reset":
            transport = writer.transport
            transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            transport.abort()
            return False
        if fault == "endless":
            writer.write(b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\n\r\n{")
            while not writer.is_closing():
                writer.write(b" " * (1 << 16))
                await writer.drain()
                await asyncio.sleep(0.01)  # the other clusters have their turn
            return False
        code, body, more = self._reply(number, target, fields, fault, count, told)
        head = f"HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        return True

    def _reply(
        self, number: int, target: str, fields: dict[str, str], fault: str, count: int, told: dict[str, Any]
    ) -> tuple[int, bytes, str]:
        parts = urlsplit(target)
        path, query = parts.path, parse_qs(parts.query)
        if fault == "expired" or fields.get("authorization") != f"bearer {TOKEN}":
            return _status(401, "Unauthorized")
        if fault == "storm":
            return *_status(429, "too many requests")[:2], "Retry-After: 3600\r\n"
        if fault == "busy" and count % 3 == 0:
            return *_status(429, "too many requests")[:2], "Retry-After: 1\r\n"
        if fault == "errors" and count % 3 == 0:
            return _status(500, "etcdserver: leader changed")
        if fault == "redirect":
            place = f"Location: https://127.0.0.1:{self._ports[0]}{target}\r\n"
            return 302, b"", place
        if fault == "garbage":
            return 200, b"<html>a proxy</html>", ""
        if path == "/version":
            return 200, b'{"major":"1","minor":"34","gitVersion":"v1.34.1"}', ""
        if path == "/api/v1/namespaces/kube-system":
            uid = told.get("uid", uid_of(number))
            if count >= told.get("rebuilt", count + 1):
                uid = uid.replace("0000-4000", "1111-4000")
            document = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
            return 200, json.dumps(document | {"metadata": {"name": "kube-system", "uid": uid}}).encode(), ""
        if path in self.discovery:
            return 200, self.discovery[path], ""
        pages = self.lists.get(path)
        if pages is None:
            return _status(404, "not found")
        if fault == "forbidden":
            return _status(403, "forbidden")
        page = int(query.get("continue", ["0"])[0])
        return 200, pages[page], ""


def _status(code: int, message: str) -> tuple[int, bytes, str]:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}
    return code, json.dumps(body).encode(), ""


class World:
    """The program as a process. `kubeconfig` knows a context for each cluster."""

    def __init__(
        self, clusters: int = 100, pods: int = 40, behaviour: dict[str, dict[str, Any]] | None = None
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kspec-fleet-"))
        self.kubeconfig = self.folder / "kubeconfig"
        self.behave(behaviour or {})
        command = [sys.executable, "-m", "tests.fleet.world", str(self.folder)]
        self._process = subprocess.Popen(
            [*command, "--clusters", str(clusters), "--pods", str(pods)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def behave(self, behaviour: dict[str, dict[str, Any]]) -> None:
        """From now on; which clusters are dead is said at the start."""
        new = self.folder / "behaviour.new"
        new.write_text(json.dumps(behaviour))
        new.replace(self.folder / "behaviour.json")

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != READY:
            self.stop()
            raise RuntimeError("the simulated fleet did not start")
        return self

    def stop(self) -> None:
        import shutil

        self._process.kill()
        self._process.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clusters", type=int, default=100)
    parser.add_argument("--pods", type=int, default=40)
    args = parser.parse_args()
    asyncio.run(_World(args.folder, args.clusters, args.pods).run())


if __name__ == "__main__":
    main()
