"""An API server, the operator, a receiver of alerts, Prometheus and the dashboard, while a cluster breaks.

`make demo-operations` runs it. It uses loopback addresses only, writes to a temporary folder, and stops all that it
started when it ends, also after Ctrl-C, SIGTERM and a failure. Each wait has a deadline of `LIMIT_S`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import urllib3

from tests.alerts.receiving import HttpReceiver, http_receiver
from tests.controlplane.build import NoControlPlane
from tests.controlplane.process import Process, ServerFailed, free_port
from tests.controlplane.server import ControlPlane, Etcd
from tests.observe.prometheus import Prometheus

HERE = Path(__file__).parent
RULES = HERE.parents[1] / "config" / "monitoring" / "kspec.rules.yaml"
KSPEC = (sys.executable, "-m", "pytest_kspec.cli.main")
KUBECTL = Path(sys.executable).with_name("kubectl")
LIMIT_S = 300.0  # rules are evaluated once a minute; the rest takes seconds, where the machine is not busy
COMMAND_LIMIT_S = 120.0
WIDTH = 80
POLICY = "validatingadmissionpolicy/kspec-shop-pods"


class Failed(Exception):
    """A step did not show what it must; the text says which."""


class Demo:
    """What runs, and how it is asked."""

    def __init__(self, stack: ExitStack) -> None:
        self.began = time.monotonic()
        self._stack = stack
        self.config = Path(os.devnull)
        self.dashboard: Process | None = None
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kspec-demo-")))
        self.audit = self.folder / "audit.log"
        self.store, metrics = self.folder / "results.db", free_port()
        job = {"job_name": "kspec", "static_configs": [{"targets": [f"127.0.0.1:{metrics}"]}]}
        self.prometheus = Prometheus(self._place("prometheus"), [job], [RULES])
        stack.callback(self.prometheus.close)
        self.receiver: HttpReceiver = stack.enter_context(http_receiver())
        etcd = Etcd()
        stack.callback(etcd.stop)
        self.plane = ControlPlane(etcd.start(), name="shop-eu", audited=False)
        stack.callback(self.plane.close)
        self.plane.start()
        self.config = self.plane.kubeconfig()
        self.say("API server", self.plane.url)

        crds = self.run(*KSPEC, "crds")
        self.kubectl("apply", "--server-side", "-f", "-", given=crds)
        self.kubectl("create", "namespace", "kspec-system")
        environment = {"KSPEC_AUDIT_LOG": str(self.audit), "KSPEC_RUN_BY": "operator"}
        environment["KSPEC_ALERT_ALLOW"] = "127.0.0.0/8"  # the receiver is on loopback
        reach = (f"--cluster={self.plane.name}", f"--kubeconfig={self.config}")
        words = (*reach, "--leader-elect=false", "--scan-interval=5s", f"--store={self.store}")
        serving = (f"--metrics-bind-address=127.0.0.1:{metrics}", "--health-probe-bind-address=0")
        self.operator = self._server("operator", *words, *serving, environment=environment)
        self.say("operator", f"metrics on http://127.0.0.1:{metrics}/metrics")
        self.say("Prometheus", f"http://127.0.0.1:{self.prometheus.port} with {RULES.name}")

    def open_dashboard(self) -> None:
        """Serve the pages; the operator makes the store with the first result."""
        self.until("a result in the store", self.store.exists)
        words = ("--serve", f"--store={self.store}", "--no-auth", f"--port={free_port()}")
        self.dashboard = self._server("dashboard", *words)
        self.pages = f"http://127.0.0.1:{words[-1].partition('=')[2]}"
        self.say("dashboard", self.pages)

    def _place(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def _server(self, name: str, *words: str, environment: dict[str, str] | None = None) -> Process:
        server = Process(name, [*KSPEC, name, *words], self._place(name), environment)
        self._stack.callback(server.stop)
        server.start()
        return server

    def say(self, place: str, text: str) -> None:
        """One line: seconds, where, what."""
        line = f"{time.monotonic() - self.began:4.0f} s  {place:<11} {text}"
        print(line if len(line) <= WIDTH else line[: WIDTH - 1] + "…", flush=True)

    def run(self, *command: str | Path, given: str | None = None, status: int = 0) -> str:
        """The output of a command that must end with this status."""
        environment = {**os.environ, "KUBECONFIG": str(self.config)}
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, env=environment
        )
        if done.returncode != status:
            raise Failed(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def kubectl(self, *words: str, given: str | None = None) -> str:
        """The output of kubectl."""
        return self.run(KUBECTL, *words, given=given)

    def until(self, what: str, look: Callable[[], Any]) -> Any:
        """What `look` gives, once that is true. Raises: Failed."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            for one in (self.operator, self.dashboard):
                if one is not None and not one.running:
                    raise Failed(f"{one.name} ended while this was waited for: {what}\n{one.tail()}")
            try:
                if found := look():
                    return found
                why = ""
            except (urllib3.exceptions.HTTPError, AssertionError) as e:  # it does not answer yet
                why = f" ({e})"
            if time.monotonic() > deadline:
                raise Failed(f"not seen in {LIMIT_S:.0f} s: {what}{why}\n{self.operator.tail(8)}")
            time.sleep(0.3)

    # -- where it is seen ----------------------------------------------------------------------------------

    def status(self, ready: str, drift: str) -> None:
        """The conditions of the specification, as `kubectl get cspec` shows them."""

        def look() -> str:
            found = json.loads(self.kubectl("get", "cspec", "shop", "-o", "json"))
            generation, conditions = (
                found["metadata"]["generation"],
                found.get("status", {}).get("conditions", []),
            )
            held = {
                one["type"]: one["status"] for one in conditions if one["observedGeneration"] == generation
            }
            if (held.get("Ready"), held.get("DriftDetected")) != (ready, drift):
                return ""
            return f"score {found['status'].get('complianceScore')}, Ready={ready}, DriftDetected={drift}"

        self.say("cspec", self.until(f"status of cspec/shop: Ready={ready}, DriftDetected={drift}", look))

    def drift_report(self, pending: int) -> None:
        """The newest DriftReport."""

        def look() -> str:
            found = json.loads(self.kubectl("get", "driftreports", "-n", "kspec-system", "-o", "json"))[
                "items"
            ]
            newest: dict[str, Any] = max(found, key=lambda one: str(one["spec"]["detectionTime"]), default={})
            if newest.get("status", {}).get("pendingEvents") != pending:
                return ""
            said = [
                f"{one['resource']['name']} {one['driftType']}" for one in newest["spec"].get("events", [])
            ]
            return ", ".join([f"{pending} pending", *said])

        self.say("DriftReport", self.until(f"a DriftReport with {pending} events pending", look))

    def alert(self, event: str, state: str) -> None:
        """What the receiver of the AlertConfig was sent last about this event."""

        def look() -> list[Any]:
            sent = [one for one in self.receiver.bodies("/alerts") if one["event_type"] == event]
            return [one for one in sent[-1:] if one["metadata"]["status"] == state]

        (sent,) = self.until(f"alert {event}, {state}", look)
        self.say("receiver", f"{event} ({state}): {sent['title']}")

    def metric(self, query: str) -> None:
        """A metric in Prometheus, of which the query is true."""
        self.until(f"metric {query}", lambda: self.prometheus.query(query))
        self.say("metric", query)

    def rule(self, name: str, state: str) -> None:
        """The state of an alert rule in Prometheus."""

        def look() -> bool:
            groups = self.prometheus.ask("rules", type="alert")["groups"]
            found = [one["state"] for group in groups for one in group["rules"] if one["name"] == name]
            return found == [state]

        self.until(f"rule {name} {state}", look)
        self.say("rule", f"{name} is {state}")

    def summary(self, drift: int | None, failed: Callable[[int], bool]) -> None:
        """What the dashboard answers to /api/summary."""

        def look() -> str:
            answer = urllib3.request("GET", f"{self.pages}/api/summary", timeout=20, retries=False)
            found = answer.json()
            if (
                answer.status != 200
                or found["TotalDriftEvents"] != drift
                or not failed(found["FailedChecks"])
            ):
                return ""
            return ", ".join(f"{key} {found[key]}" for key in ("FailedChecks", "TotalDriftEvents"))

        self.say("dashboard", f"/api/summary: {self.until('/api/summary of the dashboard', look)}")

    def look(self, status: int) -> None:
        """`kspec drift detect` of the specification in the cluster; the store keeps it for the dashboard."""
        words = ("drift", "detect", "-s", "cr:shop", f"--cluster={self.plane.name}", f"--store={self.store}")
        said = self.run(*KSPEC, *words, "--types=policy", status=status).strip().splitlines()
        self.say("kspec drift", f"exit code {status}: {said[0] if said else ''}")

    def audited(self, kind: str, said: Callable[[dict[str, Any]], bool]) -> None:
        """A record of the audit log."""

        def look() -> list[dict[str, Any]]:
            lines = self.audit.read_text(encoding="utf-8").splitlines() if self.audit.exists() else []
            return [one for one in map(json.loads, lines) if one["type"] == kind and said(one)]

        found = self.until(f"{kind} in the audit log", look)[-1]
        self.say("audit log", f"{kind}: {found['message']}")


def expiring() -> str:
    """A patch of the specification: an exemption for the Service that ends in three days."""
    ends = (datetime.now(UTC) + timedelta(days=3)).date().isoformat()
    exemption = {
        "name": "old-shop",
        "reason": "Its clients are moved to the Ingress",
        "checks": ["network.allowedServiceTypes"],
        "resources": [{"kind": "Service", "name": "old-shop", "namespace": "default"}],
        "expiresAt": ends,
    }
    return json.dumps({"spec": {"policyExemptions": [exemption]}})


def prepare(demo: Demo) -> None:
    """The specification holds, and its policies are in force."""
    watching = (HERE / "watching.yaml").read_text(encoding="utf-8")
    watching = watching.replace("http://127.0.0.1:9999", demo.receiver.url)
    demo.kubectl("apply", "--server-side", "-f", "-", given=watching)
    demo.kubectl("apply", "--server-side", "-f", str(HERE / "specification.yaml"))
    demo.status(ready="True", drift="False")
    demo.open_dashboard()
    demo.summary(drift=None, failed=lambda count: count == 0)
    demo.metric('kspec_compliance_score{cluster_spec="shop"} == 100')


def breaks(demo: Demo) -> None:
    """A pod that must not be, a policy edited by hand, an exemption that ends soon; seen everywhere."""
    demo.kubectl("patch", "cspec", "shop", "--type=merge", "-p", expiring())
    demo.kubectl("apply", "-f", str(HERE / "broken.yaml"))
    # Policies of the new specification are applied by then: what changes from now on is drift.
    demo.status(ready="False", drift="False")
    demo.kubectl("patch", POLICY, "--type=merge", "-p", '{"spec": {"failurePolicy": "Ignore"}}')
    demo.status(ready="False", drift="True")
    demo.drift_report(pending=1)
    demo.alert("ComplianceFailure", "firing")
    demo.alert("DriftDetected", "firing")
    demo.alert("ExemptionExpiring", "firing")
    demo.look(status=1)
    demo.summary(drift=1, failed=lambda count: count > 0)
    demo.audited("compliance_scan", lambda one: one["result"] == "failure")
    demo.audited("exemption", lambda one: one["action"] == "used")
    demo.metric('kspec_findings{cluster_spec="shop",severity="high"} > 0')
    demo.metric('kspec_drift_events{cluster_spec="shop"} == 1')
    demo.rule("KSpecCriticalComplianceScore", "pending")
    demo.rule("KSpecDriftDetected", "pending")
    demo.rule("KSpecExemptionExpiring", "firing")


def mends(demo: Demo) -> None:
    """All is put right, and seen to be."""
    strategy = '{"spec": {"remediation": {"strategy": "Apply"}}}'
    demo.kubectl("patch", "driftconfig", "watch", "-n", "kspec-system", "--type=merge", "-p", strategy)
    demo.drift_report(pending=0)
    demo.audited("remediation", lambda one: one["action"] == "drift")
    demo.kubectl("delete", "-f", str(HERE / "broken.yaml"), "--grace-period=0", "--force")
    demo.kubectl("patch", "cspec", "shop", "--type=merge", "-p", '{"spec": {"policyExemptions": []}}')
    demo.status(ready="True", drift="False")
    demo.alert("ComplianceRestored", "resolved")
    demo.alert("DriftCleared", "resolved")
    demo.alert("ExemptionExpiring", "resolved")
    demo.look(status=0)
    demo.summary(drift=0, failed=lambda count: count == 0)
    demo.audited("compliance_scan", lambda one: one["result"] == "success")
    demo.metric('kspec_compliance_score{cluster_spec="shop"} == 100')
    demo.metric('kspec_drift_events{cluster_spec="shop"} == 0')
    for name in ("KSpecCriticalComplianceScore", "KSpecDriftDetected", "KSpecExemptionExpiring"):
        demo.rule(name, "inactive")


def ends(demo: Demo) -> None:
    """The specification goes with its policies; the log is whole."""
    demo.kubectl("delete", "cspec", "shop", f"--timeout={COMMAND_LIMIT_S:.0f}s")
    left = demo.kubectl("get", "validatingadmissionpolicy", "-o", "name").strip()
    if left:
        raise Failed(f"policies are left after the specification was deleted: {left}")
    demo.say("cspec", "deleted; its policies are gone")
    demo.say("audit log", demo.run(*KSPEC, "audit", "verify", demo.audit).splitlines()[0])


def main() -> int:
    """0: all was seen; 1: something was not, and the text says what; 130: interrupted."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` lets it be ignored
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with ExitStack() as stack:
        try:
            print("Starting", flush=True)
            demo = Demo(stack)
            for title, step in (
                ("The cluster is as specified", prepare),
                ("Broken: a privileged pod, a policy edited by hand, an exemption that ends soon", breaks),
                ("Put right", mends),
                ("Ended", ends),
            ):
                print(f"\n{title}", flush=True)
                step(demo)
        except KeyboardInterrupt:
            print("\ninterrupted", file=sys.stderr)
            return 130
        except (Failed, NoControlPlane, ServerFailed, subprocess.TimeoutExpired) as e:
            print(f"error: {e}", file=sys.stderr)
            return 1
        finally:  # a second Ctrl-C must not leave a server behind
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("All servers are stopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
