"""A webhook process, and its registration at a real API server."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from pytest_kspec.enforce.engines import Wanted, webhook
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.spec.loading import spec_from_part
from tests.controlplane.certificates import Authority, KeyPair
from tests.controlplane.process import free_port
from tests.controlplane.server import APPLY_PATCH, ControlPlane
from tests.webhook.reviewing import CHECKSET

READY_S = 180.0  # 4 s when idle; over a minute was seen beside a load that keeps the machine busy


def unverified(client: KeyPair | None = None) -> ssl.SSLContext:
    """Probes of a kubelet verify nothing. client: a certificate to show."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if client is not None:
        context.load_cert_chain(*client)
    return context


def get(
    port: int,
    path: str,
    client: KeyPair | None = None,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
) -> tuple[int, str]:
    """Status and text. Raises OSError where it does not answer."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=unverified(client))
    try:
        connection.request(method, path, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()


class Running:
    """`kspec webhook` as a process; its log is `log`.

    tokens: who reads sends a token that the cluster knows; otherwise a certificate, as `read` does
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        port: int | None = None,
        host: str = "127.0.0.1",
        tokens: bool = False,
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.read_port = free_port()
        (folder / "readers").mkdir(exist_ok=True)
        self.readers = Authority(folder / "readers", "readers")
        by_certificate = () if tokens else (f"--client-ca={self.readers.certificate}",)
        self.log = folder / "webhook.log"
        self._command = [
            sys.executable, "-m", "pytest_kspec.cli.main", "webhook", *arguments,
            "--host", host, "--port", str(self.port), "--hostname", "127.0.0.1",
            "--read-port", str(self.read_port), *by_certificate,
            "--audit-log", str(folder / "audit.log"), "--drain", "0",
        ]  # fmt: skip
        self.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://127.0.0.1:{self.port}"

    def read(self, path: str) -> tuple[int, str]:
        """What it answers to who has a certificate."""
        return get(self.read_port, path, self.readers.issue("prometheus"))

    def start(self) -> None:
        """Start, and wait for nothing."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stderr=log, stdout=log)

    def wait_ready(self) -> None:
        """Until /readyz says 200."""

        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(OSError):
                return get(self.port, "/readyz")[0] == 200
            return False

        until(ready, self.log.read_text)

    def kill(self) -> None:
        """As a node that loses power."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """As a kubelet does; the exit code."""
        self.process.terminate()
        return self.process.wait(20)


@contextlib.contextmanager
def running(folder: Path, *arguments: str, port: int | None = None) -> Iterator[Running]:
    """A ready webhook."""
    server = Running(folder, *arguments, port=port)
    try:
        server.wait_ready()
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def until(test: Callable[[], Any], what: Callable[[], str] = lambda: "") -> Any:
    """What `test` gives as soon as it is true."""
    deadline = time.monotonic() + READY_S
    while not (found := test()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)
    return found


def write_spec(path: Path, part: dict[str, Any], mode: str = "enforce", fails: str = "Fail") -> None:
    """A specification file named like its file."""
    document = {
        "apiVersion": "kspec.dev/v1",
        "kind": "ClusterSpecification",
        "metadata": {"name": path.stem, "version": "1.0.0"},
        "spec": {
            "enforcement": {"enabled": True, "mode": mode},
            "webhooks": {"enabled": True, "failurePolicy": fails, "timeoutSeconds": 5},
            **part,
        },
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")


class Options:
    """What `kspec enforce` hands to the engine."""

    def __init__(self, url: str) -> None:
        self.webhook_url = url
        self.webhook_exclude_namespace = ["kube-system"]


def register(
    plane: ControlPlane, url: str, name: str, part: dict[str, Any], mode: str = "enforce", fails: str = "Fail"
) -> str:
    """Apply the engine's configuration; its name."""
    webhooks = {"webhooks": {"enabled": True, "failurePolicy": fails, "timeoutSeconds": 5}}
    plan = enforcement_plan(spec_from_part({**webhooks, **part}, name), CHECKSET)
    made = webhook.generate(Wanted(plan, Mode(mode), options=Options(url)))
    (manifest,) = made.manifests
    path = f"/apis/{webhook.API_VERSION}/validatingwebhookconfigurations/{manifest['metadata']['name']}"
    answer = plane.request(
        "PATCH", f"{path}?fieldManager=kspec&force=true", manifest, content_type=APPLY_PATCH
    )
    assert answer.status in (200, 201), answer
    return str(manifest["metadata"]["name"])


def configuration(plane: ControlPlane, name: str) -> dict[str, Any]:
    """As it is in the cluster now."""
    path = f"/apis/{webhook.API_VERSION}/validatingwebhookconfigurations/{name}"
    found: dict[str, Any] = plane.request("GET", path).body
    return found


def unregister(plane: ControlPlane, name: str) -> None:
    """Remove it."""
    plane.request("DELETE", f"/apis/{webhook.API_VERSION}/validatingwebhookconfigurations/{name}")


class Load:
    """Creates the same pod again and again, as a dry run, from some threads; what came back is kept."""

    def __init__(self, plane: ControlPlane, namespace: str, pod: dict[str, Any], threads: int = 3) -> None:
        self._plane = plane
        self._path = f"/api/v1/namespaces/{namespace}/pods?dryRun=All"
        self._pod = pod
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        self.answers: list[tuple[float, int, str]] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def since(self, moment: float) -> list[tuple[int, str]]:
        """Status and message of what was answered after this time."""
        return [(status, text) for at, status, text in list(self.answers) if at >= moment]

    def _run(self) -> None:
        while not self._ending.is_set():
            started = time.monotonic()
            answer = self._plane.request("POST", self._path, self._pod)
            text = answer.body.get("message", "") if isinstance(answer.body, dict) else str(answer.body)
            self.answers.append((started, answer.status, text))
