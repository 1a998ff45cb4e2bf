"""Kyverno in a control plane of the tests: definitions of its kinds, and its admission controller as a process.

The controller runs beside the API server, not in a pod: it is started with its own address, makes its certificates and
registers its webhooks at that address by itself. Everything else is as in its Helm chart.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.controlplane import namespaces
from tests.controlplane.process import PortTaken, Process, free_port
from tests.controlplane.server import ControlPlane
from tests.kyverno import build
from tests.webhook.running import get

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PATHS = {
    "ValidatingPolicy": "/apis/policies.kyverno.io/v1/validatingpolicies",
    "ClusterPolicy": "/apis/kyverno.io/v1/clusterpolicies",
}
NAMESPACE = "kyverno"
SERVED_S = 60.0
READY_S = 180.0
PORT_TRIES = 3
ENVIRONMENT = {
    "INIT_CONFIG": "kyverno",
    "KYVERNO_DEPLOYMENT": "kyverno",
    "KYVERNO_NAMESPACE": NAMESPACE,
    "KYVERNO_POD_NAME": "kyverno",
    "KYVERNO_SERVICEACCOUNT_NAME": "kyverno",
    "METRICS_CONFIG": "kyverno-metrics",
}


def install(plane: ControlPlane, kinds: Collection[str] = ()) -> None:
    """Serve these kinds of Kyverno, all of them if none are named."""
    found = [item for item in build.definitions() if not kinds or item["spec"]["names"]["kind"] in kinds]
    for definition in found:
        answer = plane.request("POST", CRDS, definition)
        assert answer.status == 201, answer
    deadline = time.monotonic() + SERVED_S
    for definition in found:
        names, group = definition["spec"]["names"], definition["spec"]["group"]
        for version in definition["spec"]["versions"]:
            path = f"/apis/{group}/{version['name']}/{names['plural']}?limit=1"
            while version["served"] and plane.request("GET", path).status != 200:
                assert time.monotonic() < deadline, path
                time.sleep(0.1)
    served = {definition["spec"]["names"]["plural"] for definition in found}
    while served - namespaces.discovered(plane):  # it follows the endpoints, a moment later
        assert time.monotonic() < deadline, served - namespaces.discovered(plane)
        time.sleep(0.1)


class AdmissionController:
    """Kyverno's admission controller beside a control plane that serves its kinds. Raises NoControlPlane.

    configuration: of its ConfigMap. Ready when its webhooks for policies are registered, and are answered.
    """

    def __init__(self, plane: ControlPlane, configuration: Mapping[str, str] | None = None) -> None:
        self.plane = plane
        self.folder = Path(tempfile.mkdtemp(prefix="kspec-kyverno-"))
        self._configuration = dict(configuration or {})
        self._port = 0
        self._process: Process | None = None

    def __enter__(self) -> Self:
        try:
            command = build.controller()
            namespaces.create(self.plane, NAMESPACE)
            for name, data in (("kyverno", self._configuration), ("kyverno-metrics", {})):
                path = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
                answer = self.plane.request("POST", path, {"metadata": {"name": name}, "data": data})
                assert answer.status == 201, answer
            self._start(command)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it and forget its files; its webhooks stay, and fail."""
        if self._process is not None:
            self._process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int | None:
        """Its process id; none when it is not running."""
        return self._process.pid if self._process is not None else None

    def log(self, lines: int = 40) -> str:
        """The end of what it wrote."""
        return self._process.tail(lines) if self._process is not None else ""

    def _start(self, command: Path) -> None:
        kubeconfig = self.plane.kubeconfig(path=self.folder / "kubeconfig")
        for attempt in range(1, PORT_TRIES + 1):
            self._port = free_port()
            flags = {
                "kubeconfig": str(kubeconfig),
                "serverIP": f"127.0.0.1:{self._port}",
                "webhookServerHost": "127.0.0.1",
                "webhookServerPort": str(self._port),
                "caSecretName": "kyverno-ca",
                "tlsSecretName": "kyverno-tls",
                "metricsHost": "127.0.0.1",
                "metricsPort": str(free_port()),
                "controllerRuntimeMetricsAddress": "0",
                "disableLogColor": "true",
                "omitEvents": "PolicyApplied,PolicySkipped",
                "webhookTimeout": "30",  # the machine may be busy, and a policy takes seconds to compile
            }
            arguments = [f"--{name}={value}" for name, value in flags.items()]
            self._process = Process("kyverno", [command, *arguments], self.folder, ENVIRONMENT)
            self._process.start()
            try:
                self._process.wait_until(self._ready, READY_S)
            except PortTaken:
                if attempt == PORT_TRIES:
                    raise
            else:
                return

    def _ready(self) -> bool:
        path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
        found: dict[str, Any] = self.plane.request(
            "GET", f"{path}/kyverno-policy-validating-webhook-cfg"
        ).body
        if not found.get("webhooks"):
            return False
        with contextlib.suppress(OSError):
            return get(self._port, "/health/readiness")[0] == 200
        return False
