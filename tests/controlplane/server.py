"""Etcd and API servers on loopback, as objects that a test starts and stops.

Several `ControlPlane`s share one `Etcd`, each under its own prefix: several clusters for one etcd's price.

What differs from a production cluster, on purpose: no kubelet and no scheduler, so a pod stays Pending unless
`stand_in.py` plays them; and without `controllers=True` no default ServiceAccount is made, so the admission
plugin that would refuse every pod for it is off.
"""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import urllib3
import yaml

from . import audit, build
from .certificates import Authority, write_key
from .process import HERE, Place, PortTaken, Process, ServerFailed, free_port

LOOPBACK = "127.0.0.1"
READY_TIMEOUT_S = 180.0  # 3 s when idle; over a minute was seen on a machine short of memory
READY_POLL_TIMEOUT_S = 5.0  # a server that is starting may accept a connection and not answer
PORT_TRIES = 3
REQUEST_TIMEOUT_S = 30.0
AUDIT_WAIT_S = 10.0
ISSUER = "https://kubernetes.default.svc.cluster.local"
MASTERS = "system:masters"

# Both add what only a controller takes away again or satisfies.
NEED_CONTROLLERS = ("ServiceAccount", "StorageObjectInUseProtection")
# Without a kubelet these would mark every node as lost, and evict its pods, after 40 s.
NEED_KUBELETS = ("node-lifecycle-controller", "taint-eviction-controller")

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

# Requests that `_settle_audit` makes: a path that any server answers.
_MARKER = "/version?marker="


class Answer(NamedTuple):
    """Status code and body: parsed when it is JSON, text otherwise."""

    status: int
    body: Any


class Etcd:
    """One etcd, in memory in all but name: it never waits for a disk, and its folder goes with it."""

    def __init__(self, place: Place = HERE) -> None:
        self.place = place
        self.folder = Path(tempfile.mkdtemp(prefix="kspec-etcd-"))
        self.url = ""
        self._process: Process | None = None

    def start(self) -> Self:
        """Start and wait until it answers. Raises: NoControlPlane, ServerFailed."""
        command = build.binary("etcd")
        for attempt in range(1, PORT_TRIES + 1):
            port = free_port()
            self.url, peer = (f"http://{LOOPBACK}:{number}" for number in (port, free_port()))
            arguments = [
                "--name=default",
                f"--data-dir={self.folder / 'data'}",
                f"--listen-client-urls={self.url}",
                f"--advertise-client-urls={self.url}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ]
            self._process = Process("etcd", [*self.place.prefix, command, *arguments], self.folder)
            self._process.start()
            self.place.reach(port)
            try:
                self._process.wait_until(self._healthy, READY_TIMEOUT_S)
            except PortTaken:
                if attempt == PORT_TRIES:
                    raise
                shutil.rmtree(self.folder / "data", ignore_errors=True)
            else:
                break
        return self

    def stop(self) -> None:
        """End it and forget its data."""
        if self._process is not None:
            self._process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, what: str, body: Mapping[str, Any]) -> Any:
        """One request to its key-value API as JSON: `range`, `txn`. Raises: ServerFailed."""
        answer = urllib3.request("POST", f"{self.url}/v3/kv/{what}", json=body, timeout=REQUEST_TIMEOUT_S)
        if answer.status != 200:
            raise ServerFailed(f"etcd: {what}: {answer.data.decode()}")
        return answer.json()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except (build.NoControlPlane, ServerFailed):
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _healthy(self) -> bool:
        try:
            answer = urllib3.request("GET", f"{self.url}/health", timeout=1.0, retries=False)
        except urllib3.exceptions.HTTPError:
            return False
        return answer.status == 200


class ControlPlane:
    """A kube-apiserver, and a kube-controller-manager with `controllers=True`, under a prefix of `etcd`.

    `users` gives further users with their groups, each with a token in `tokens`; `admin` is always there, in
    `system:masters`. `flags` are added to the API server's, and win over them. With `audited=True` the server
    keeps a log that `requests_seen` reads. `stop` and `start` again come back at the same address with the
    same data, as a cluster after an outage does; `close` also removes the files.

    A cluster with kubelets gives `hosts` (further names and addresses of the server's certificate) and
    `kubelets=True`: the controllers that watch over nodes then run. Its servers run where `etcd` does.
    """

    def __init__(
        self,
        etcd: Etcd,
        *,
        name: str | None = None,
        users: Mapping[str, Sequence[str]] | None = None,
        controllers: bool = False,
        audited: bool = True,
        flags: Sequence[str] = (),
        hosts: Sequence[str] = (),
        kubelets: bool = False,
    ) -> None:
        self.etcd = etcd
        self.kubelets = kubelets
        self.name = name or f"kspec-{uuid.uuid4().hex[:8]}"
        self.users: dict[str, tuple[str, ...]] = {"admin": (MASTERS,), "controllers": (MASTERS,)}
        self.users |= {user: tuple(groups) for user, groups in (users or {}).items()}
        self.tokens = {user: secrets.token_hex(16) for user in self.users}
        self.controllers = controllers
        self.flags = tuple(flags)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.authority = Authority(self.folder)
        self.ca_path = self.authority.certificate
        self.audit_log = audit.AuditLog(self.folder / "audit.log") if audited else None
        self.url = ""
        self.start_seconds = 0.0
        self._port = 0
        self._server: Process | None = None
        self._manager: Process | None = None
        self._serving = self.authority.issue("apiserver", hosts=(LOOPBACK, "localhost", *hosts))
        self._service_account_key = self.folder / "service-accounts.key"
        write_key(self._service_account_key)
        # Verifies as a client does, keeps connections, and does not retry: a test wants to see the answer.
        self._pool = urllib3.PoolManager(num_pools=2, maxsize=8, ca_certs=str(self.ca_path), retries=False)

    @property
    def token(self) -> str:
        """The bearer token of `admin`."""
        return self.tokens["admin"]

    @property
    def pid(self) -> int | None:
        """The API server's process id; none when stopped."""
        return self._server.pid if self._server is not None else None

    # -- life ----------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start and wait until it is ready. Raises: NoControlPlane, ServerFailed with the end of the log."""
        started = time.monotonic()
        command = build.binary("kube-apiserver")
        manager = build.binary("kube-controller-manager") if self.controllers else None
        self._write_files()
        first = self._port == 0
        for attempt in range(1, PORT_TRIES + 1):
            self._port = free_port() if first else self._port
            self.url = f"https://{LOOPBACK}:{self._port}"
            place = self.etcd.place
            words = [*place.prefix, command, *self._server_flags()]
            self._server = Process("kube-apiserver", words, self.folder)
            self._server.start()
            place.reach(self._port)
            try:
                self._server.wait_until(self._ready, READY_TIMEOUT_S)
            except PortTaken:
                if not first or attempt == PORT_TRIES:
                    raise
            else:
                break
        if manager is not None:
            self._start_controllers(manager)
        self.start_seconds = time.monotonic() - started
        return self

    def stop(self) -> None:
        """End the servers at once, as a machine that loses power; files and data stay for another `start`."""
        for process in (self._manager, self._server):
            if process is not None:
                process.stop()
        self._pool.clear()

    def close(self) -> None:
        """Stop, and remove the files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except (build.NoControlPlane, ServerFailed):
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- use -----------------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str = "admin",
        impersonate: str | None = None,
        groups: Sequence[str] = (),
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Answer:
        """One HTTP request, as `user`, or as `impersonate` (with `groups`) by the right of `user`.

        `body` is sent as JSON; a PATCH is a merge patch unless `content_type` says otherwise. No status is an
        error here. Raises: urllib3.exceptions.HTTPError when the server cannot be reached.
        """
        sent = urllib3.HTTPHeaderDict(
            {"Authorization": f"Bearer {self.tokens[user]}", "Accept": "application/json"}
        )
        if body is not None:
            sent["Content-Type"] = content_type or (MERGE_PATCH if method == "PATCH" else "application/json")
        if impersonate is not None:
            sent["Impersonate-User"] = impersonate
        for group in groups:
            sent.add("Impersonate-Group", group)
        sent.update(headers or {})
        content = None if body is None else json.dumps(body)
        answer = self._pool.request(
            method, self.url + path, body=content, headers=sent, timeout=timeout_s, redirect=False
        )
        if "json" in answer.headers.get("Content-Type", ""):
            return Answer(answer.status, json.loads(answer.data))
        return Answer(answer.status, answer.data.decode())

    def kubeconfig(
        self,
        user: str = "admin",
        path: Path | None = None,
        *,
        context: str | None = None,
        namespace: str | None = None,
    ) -> Path:
        """Write a kubeconfig that works from anywhere (the CA is inside); its one context is current.

        The context is named after the control plane unless `context` names it.
        """
        context = context or self.name
        path = path or self.folder / f"{user}.kubeconfig"
        cluster = {
            "server": self.url,
            "certificate-authority-data": base64.b64encode(self.authority.bundle).decode(),
        }
        chosen = {"cluster": self.name, "user": user} | ({"namespace": namespace} if namespace else {})
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": self.name, "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self.tokens[user]}}],
            "contexts": [{"name": context, "context": chosen}],
            "current-context": context,
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return path

    def audit_position(self) -> int:
        """Now, as a position in the audit log: give it to `requests_seen` as `since`."""
        self._settle_audit()
        return self._audited().position()

    def requests_seen(
        self, verb: str | None = None, resource: str | None = None, *, user: str | None = None, since: int = 0
    ) -> list[audit.Seen]:
        """The requests the server answered, of this verb, resource and user; the server's own are left out.

        A watch is there from its start. `list` with pages is a request a page.
        """
        self._settle_audit()
        return [
            seen
            for seen in self._audited().read(since)
            if (verb is None or seen.verb == verb)
            and (resource is None or seen.resource == resource)
            and (user is None or seen.user == user)
            and not seen.uri.startswith(_MARKER)
        ]

    # -- inside --------------------------------------------------------------------------------------------

    def _audited(self) -> audit.AuditLog:
        if self.audit_log is None:
            raise ValueError(f"{self.name} was made with audited=False")
        return self.audit_log

    def _settle_audit(self) -> None:
        """Wait until the log holds a request made now: the server writes an event just after its answer."""
        log = self._audited()
        start = log.position()
        marker = f"{_MARKER}{uuid.uuid4().hex}"
        self.request("GET", marker)
        deadline = time.monotonic() + AUDIT_WAIT_S
        while not any(seen.uri == marker for seen in log.read(start)):
            if time.monotonic() > deadline:
                raise ServerFailed(
                    f"{self.name}: the audit log did not show a request in {AUDIT_WAIT_S:.0f} s"
                )
            time.sleep(0.005)

    def _write_files(self) -> None:
        """The files that the flags name."""
        lines = [
            f'{self.tokens[user]},{user},uid-{user},"{",".join(groups)}"\n'
            for user, groups in self.users.items()
        ]
        tokens = self.folder / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text("".join(lines), encoding="utf-8")
        (self.folder / "audit-policy.json").write_text(json.dumps(audit.POLICY), encoding="utf-8")

    def _server_flags(self) -> list[str]:
        flags = [
            f"--etcd-servers={self.etcd.url}",
            f"--etcd-prefix=/{self.name}",
            f"--bind-address={LOOPBACK}",
            f"--advertise-address={LOOPBACK}",
            # It would write the address into the `kubernetes` Service, which refuses loopback.
            "--endpoint-reconciler-type=none",
            f"--secure-port={self._port}",
            f"--tls-cert-file={self._serving.certificate}",
            f"--tls-private-key-file={self._serving.key}",
            f"--client-ca-file={self.ca_path}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",  # off by default, and then Pod Security is not what refuses
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={self._service_account_key}",
            f"--service-account-signing-key-file={self._service_account_key}",
            "--profiling=false",
        ]
        if not self.controllers:
            flags.append(f"--disable-admission-plugins={','.join(NEED_CONTROLLERS)}")
        if self.audit_log is not None:
            flags.append(f"--audit-policy-file={self.folder / 'audit-policy.json'}")
            flags.append(f"--audit-log-path={self.audit_log.path}")
        return [*flags, *self.flags]

    def _ready(self) -> bool:
        """Whether the bootstrap hooks are done, the RBAC roles among them, and there is a first namespace."""
        return self._succeeds("/readyz") and self._succeeds("/api/v1/namespaces/default")

    def _succeeds(self, path: str) -> bool:
        try:
            return self.request("GET", path, timeout_s=READY_POLL_TIMEOUT_S).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _start_controllers(self, command: Path) -> None:
        without = () if self.kubelets else NEED_KUBELETS
        flags = [
            f"--kubeconfig={self.kubeconfig('controllers')}",
            "--leader-elect=false",
            "--secure-port=0",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={self._service_account_key}",
            f"--root-ca-file={self.ca_path}",
            f"--controllers={','.join(['*', *(f'-{name}' for name in without)])}",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
            "--concurrent-gc-syncs=5",
        ]
        words = [*self.etcd.place.prefix, command, *flags]
        self._manager = Process("kube-controller-manager", words, self.folder)
        self._manager.start()
        self._manager.wait_until(
            lambda: self._succeeds("/api/v1/namespaces/default/serviceaccounts/default"), READY_TIMEOUT_S
        )
