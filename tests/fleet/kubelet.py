"""A small stand-in of kubelet and scheduler that runs the command of each pod as a process of this machine.

It knows what pods of a run need: variables (also from Secrets and from their own annotations), Secrets as files, exit
codes, an image that cannot be pulled, and deletion with SIGTERM. One thread, and everything ends with `stop`.
"""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.controlplane import stand_in
from tests.controlplane.server import STRATEGIC_PATCH, ControlPlane

NO_IMAGE = "no-such-image"
_POLL_S = 0.2


class _Running(NamedTuple):
    process: subprocess.Popen[bytes]
    pod: dict[str, Any]


class Kubelet:
    """For the pods of one namespace. started: names of the pods that ran, oldest first; hold: pods are not run."""

    def __init__(self, plane: ControlPlane, namespace: str, node: str = "node-1") -> None:
        self._plane, self._namespace, self._node = plane, namespace, node
        self._folder = tempfile.TemporaryDirectory(prefix="kspec-kubelet-")
        self._running: dict[str, _Running] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.started: list[str] = []
        self.output: dict[str, str] = {}
        self.no_image: set[str] = set()
        """Indexes of pods that are on a node which cannot pull the image."""
        self.no_memory: set[str] = set()
        """Indexes of pods that are killed as soon as they run."""

    def __enter__(self) -> Self:
        if self._plane.request("GET", f"/api/v1/nodes/{self._node}").status == 404:
            stand_in.add_node(self._plane, self._node)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(30)
        for one in self._running.values():
            _kill(one.process, signal.SIGKILL)
            one.process.wait(30)
        self._folder.cleanup()

    def kill(self, name: str) -> None:
        """As the kernel does where a container has no memory left."""
        _kill(self._running[name].process, signal.SIGKILL)

    def _work(self) -> None:
        while not self._ended.wait(_POLL_S):
            self._look()

    def _look(self) -> None:
        found = self._plane.request("GET", f"/api/v1/namespaces/{self._namespace}/pods").body["items"]
        for pod in found:
            name, phase = pod["metadata"]["name"], pod.get("status", {}).get("phase")
            if pod["metadata"].get("deletionTimestamp"):
                self._delete(name)
            elif phase == "Pending" and name not in self._running:
                self._start(pod)
        for name, one in list(self._running.items()):
            code = one.process.poll()
            if code is not None:
                self._finish(name, one, code)
                del self._running[name]

    def _start(self, pod: dict[str, Any]) -> None:
        name = pod["metadata"]["name"]
        (container,) = pod["spec"]["containers"]
        if not pod["spec"].get("nodeName"):
            stand_in.bind(self._plane, pod, self._node)
        index = pod["metadata"]["annotations"].get("batch.kubernetes.io/job-completion-index")
        if NO_IMAGE in container["image"] or index in self.no_image:
            waiting = {"reason": "ErrImagePull", "message": f"{container['image']}: not found"}
            self._say(pod, "Pending", {"waiting": waiting}, ready=False)
            return
        folder = Path(self._folder.name, name)
        folder.mkdir(mode=0o700)
        environment = self._environment(pod, container)
        own = {one["name"] for one in container["env"]}  # paths in them are in the container's file system
        for mount in container["volumeMounts"]:
            volume = next(one for one in pod["spec"]["volumes"] if one["name"] == mount["name"])
            place = folder / mount["name"]
            place.mkdir()
            for key, value in self._secret(volume.get("secret", {}).get("secretName")).items():
                (place / key).write_text(value)
            environment = {
                key: value.replace(mount["mountPath"], str(place), 1)
                if value.startswith(mount["mountPath"]) and key in own
                else value
                for key, value in environment.items()
            }
        words = [*container["command"], *container["args"]]
        assert words.pop(0) == "kspec"
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest_kspec.cli.main", *words],
                env={"PATH": os.environ["PATH"], "TMPDIR": str(folder / "tmp"), **environment},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._running[name] = _Running(process, pod)
        self.started.append(name)
        self._say(pod, "Running", {"running": {}}, ready=True)
        if index in self.no_memory:
            self.kill(name)

    def _environment(self, pod: dict[str, Any], container: dict[str, Any]) -> dict[str, str]:
        found: dict[str, str] = {}
        for one in container.get("envFrom", []):
            found |= self._secret(one["secretRef"]["name"])
        for one in container["env"]:
            if "value" in one:
                found[one["name"]] = one["value"]
            else:
                path = one["valueFrom"]["fieldRef"]["fieldPath"]
                key = (
                    path.removeprefix("metadata.annotations['")
                    .removeprefix("metadata.labels['")
                    .removesuffix("']")
                )
                found[one["name"]] = {**pod["metadata"].get("labels", {}), **pod["metadata"]["annotations"]}[
                    key
                ]
        return found

    def _secret(self, name: str | None) -> dict[str, str]:
        if name is None:
            return {}
        answer = self._plane.request("GET", f"/api/v1/namespaces/{self._namespace}/secrets/{name}")
        return {key: base64.b64decode(value).decode() for key, value in answer.body["data"].items()}

    def _finish(self, name: str, one: _Running, code: int) -> None:
        self.output[name] = Path(self._folder.name, name, "output").read_text(errors="replace")
        code = 128 - code if code < 0 else code
        reason = "OOMKilled" if code == 137 else "Error" if code else "Completed"
        phase = "Failed" if code else "Succeeded"
        self._say(one.pod, phase, {"terminated": {"exitCode": code, "reason": reason}}, ready=False)

    def _say(self, pod: dict[str, Any], phase: str, state: dict[str, Any], *, ready: bool) -> None:
        (container,) = pod["spec"]["containers"]
        status = {
            "phase": phase,
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": ready,
                    "restartCount": 0,
                    "state": state,
                }
            ],
        }
        name = pod["metadata"]["name"]
        path = f"/api/v1/namespaces/{self._namespace}/pods/{name}/status"
        self._plane.request("PATCH", path, {"status": status}, content_type=STRATEGIC_PATCH)

    def _delete(self, name: str) -> None:
        one = self._running.pop(name, None)
        if one is not None:
            _kill(one.process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.process.wait(10)
            _kill(one.process, signal.SIGKILL)
        body = {"gracePeriodSeconds": 0}
        self._plane.request("DELETE", f"/api/v1/namespaces/{self._namespace}/pods/{name}", body)


def _kill(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
