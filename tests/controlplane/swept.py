"""Shared control planes are as they were when a module of tests begins: what a module left behind is put away.

Which modules share a control plane is chance (xdist hands them to workers as these are free), so a test that counts
objects would pass or fail by chance. Objects are found and deleted in etcd: one request finds all kinds, and no
finalizer, policy or webhook that a test left behind keeps them. Definitions are the exception: the API server takes
those down in steps, and would take a new one of the same name for the old one.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from .server import ControlPlane

# What API servers write of themselves, at any time.
_OWN = re.compile(
    r"/(masterleases|peerserverleases|apiregistration\.k8s\.io|servicecidrs|ipaddresses|ranges)/"
    r"|/(namespaces|configmaps|leases)/kube-"
    r"|/services/(specs|endpoints)/default/kubernetes$"
    r"|/endpointslices/default/kubernetes$"
)
_DEFINITION = "apiextensions.k8s.io/customresourcedefinitions/"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_MOST_A_REQUEST = 100  # etcd takes 128 operations a transaction
_shared: list[Swept] = []


class Swept:
    """A control plane with the objects that stay: those of its start, and those of `keep`."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._kept: set[str] = set()
        self.keep()

    def keep(self) -> None:
        """What is there now stays, such as that of a fixture which lasts longer than a module."""
        self._kept |= self.found()

    def left(self) -> set[str]:
        """The keys of objects that came since, as etcd has them: `secrets/NAMESPACE/NAME`."""
        return self.found() - self._kept

    def sweep(self) -> None:
        """Delete them; definitions go soon after."""
        left = sorted(self.left())
        for key in left:
            if key.startswith(_DEFINITION):
                self._plane.request("DELETE", f"{_DEFINITIONS}/{key.removeprefix(_DEFINITION)}")
        keys = [key for key in left if not key.startswith(_DEFINITION)]
        for start in range(0, len(keys), _MOST_A_REQUEST):
            some = keys[start : start + _MOST_A_REQUEST]
            operations = [{"requestDeleteRange": {"key": _b64(self._prefix + key)}} for key in some]
            self._ask("txn", {"success": operations})

    def found(self) -> set[str]:
        """The keys of all objects, without those that the API server writes by itself."""
        start = self._prefix.encode()
        end = start[:-1] + bytes([start[-1] + 1])
        asked = {"key": _b64(start), "range_end": _b64(end), "keys_only": True}
        keys = (base64.b64decode(one["key"]).decode() for one in self._ask("range", asked).get("kvs", ()))
        return {key.removeprefix(self._prefix) for key in keys if not _OWN.search(key)}

    @property
    def _prefix(self) -> str:
        return f"/{self._plane.name}/"

    def _ask(self, what: str, body: dict[str, Any]) -> Any:
        return self._plane.etcd.ask(what, body)


def share(plane: ControlPlane) -> ControlPlane:
    """Sweep this control plane after each module from now on."""
    _shared.append(Swept(plane))
    return plane


def keep() -> None:
    """What the shared control planes hold now stays."""
    for one in _shared:
        one.keep()


def forget(plane: ControlPlane) -> None:
    """It ends: it is not swept any more."""
    _shared[:] = [one for one in _shared if one._plane is not plane]


def sweep() -> None:
    """Put away what was left in all of them."""
    for one in _shared:
        one.sweep()


def _b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()
