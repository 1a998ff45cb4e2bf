"""What a whole strict specification adds to the creation of a pod, on a real API server.

python -m benchmarks.admission              a 3 KB pod, by server-side dry run, alternating between the columns
python -m benchmarks.admission --kyverno    with Kyverno too, which is built first (needs Go)

A column is a set of policies, bound to objects with its label, so that all are measured on one server and at the same
time, whatever else the machine does. Other engines add theirs to `COLUMNS`. Kyverno is a column where its admission
controller is built already, or is asked for: a benchmark does not build for ten minutes by itself.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from benchmarks.__main__ import SPEC
from pytest_kspec.enforce.engines import Wanted, kyverno, vap
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.spec.loading import load_spec
from tests.controlplane.build import NoControlPlane
from tests.controlplane.server import APPLY_PATCH, ControlPlane, Etcd
from tests.kyverno import build, cluster
from tests.kyverno.server import KyvernoPlane
from tests.webhook import running

REQUESTS = 400
WARM_UP = 50
SETTLE_S = 15.0
LABEL = "kspec-bench"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
PATH = "/api/v1/namespaces/default/pods?dryRun=All"


def pod() -> dict[str, Any]:
    """About 3 KB of a pod that the strict specification admits: two containers, as people write them."""
    container = {
        "image": "registry.example.com/team/app@sha256:" + "a" * 64,
        "imagePullPolicy": "Always",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": {
            "limits": {"cpu": "1", "memory": "512Mi"},
            "requests": {"cpu": "100m", "memory": "256Mi"},
        },
        "ports": [{"name": "web", "containerPort": 8080}],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}},
        "env": [{"name": f"SETTING_{number}", "value": "some value of it"} for number in range(12)],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    names = ("app", "side")
    containers = [copy.deepcopy(container) | {"name": name} for name in names]
    del containers[1]["ports"]
    spec = {
        "containers": containers,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "automountServiceAccountToken": False,
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    metadata = {"generateName": "bench-", "labels": {"app": "bench"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def no_policies(plane: ControlPlane, stack: ExitStack) -> None:
    """The server alone."""


def _apply(plane: ControlPlane, collection: str, manifest: dict[str, Any]) -> None:
    path = f"{collection}/{manifest['metadata']['name']}?fieldManager=kspec&force=true"
    answer = plane.request("PATCH", path, manifest, content_type=APPLY_PATCH, timeout_s=180.0)
    assert answer.status in (200, 201), answer


def _wanted(options: Any = None) -> Wanted:
    plan = enforcement_plan(load_spec(SPEC), load_checks(), version="v1.37.0")
    return Wanted(plan, Mode.ENFORCE, "bench", options)


def policies(plane: ControlPlane, stack: ExitStack) -> None:
    """ValidatingAdmissionPolicies of the strict specification, bound to pods with this column's label."""
    for manifest in vap.generate(_wanted()).manifests:
        manifest = copy.deepcopy(manifest)
        if manifest["kind"] == vap.BINDING:
            limits = {"objectSelector": {"matchLabels": {LABEL: "vap"}}}
            manifest["spec"]["matchResources"] = limits
        plural = f"{manifest['kind'].lower()}s".replace("policys", "policies")
        _apply(plane, f"{ADMISSION}/{plural}", manifest)


def kyverno_policies(api: str) -> Callable[[ControlPlane, ExitStack], None]:
    """A column of policies of one of Kyverno's APIs, with Kyverno, which is called for pods with its label only."""

    def prepare(plane: ControlPlane, stack: ExitStack) -> None:
        chosen = {"objectSelector": {"matchLabels": {LABEL: "kyverno"}}}
        cluster.install(plane)
        stack.enter_context(cluster.AdmissionController(plane, {"webhooks": json.dumps(chosen)}))
        for manifest in kyverno.generate(_wanted(argparse.Namespace(kyverno_api=api))).manifests:
            _apply(plane, cluster.PATHS[manifest["kind"]], manifest)

    return prepare


def our_webhook(plane: ControlPlane, stack: ExitStack) -> None:
    """`kspec webhook` with the same specification, called for pods with this column's label."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    part = yaml.safe_load(SPEC.read_text(encoding="utf-8"))["spec"]
    running.write_spec(folder / "bench.yaml", part)
    server = stack.enter_context(
        running.running(
            folder,
            str(folder / "bench.yaml"),
            "--tls-secret=default/kspec-webhook-tls",
            f"--kubeconfig={plane.kubeconfig(path=folder / 'kubeconfig')}",
            f"--cluster={plane.name}",
        )
    )
    name = running.register(plane, server.url, "bench", part)
    path = f"{ADMISSION}/validatingwebhookconfigurations/{name}"

    def limited() -> bool:
        found = running.configuration(plane, name)
        if "caBundle" not in found["webhooks"][0]["clientConfig"]:
            return False
        found["webhooks"][0]["objectSelector"] = {"matchLabels": {LABEL: "webhook"}}
        return plane.request("PUT", path, found).status == 200

    running.until(limited)


COLUMNS: Mapping[str, Callable[[ControlPlane, ExitStack], None]] = {
    "none": no_policies,
    "vap": policies,
    "webhook": our_webhook,
}
"""Name → what puts the policies into the cluster; they are for objects that carry `LABEL: <name>`."""


def once(plane: ControlPlane, column: str, body: dict[str, Any]) -> float:
    """Seconds of one request, which must be admitted."""
    body["metadata"]["labels"][LABEL] = column
    start = time.perf_counter()
    answer = plane.request("POST", PATH, body)
    taken = time.perf_counter() - start
    assert answer.status == 201, answer
    return taken


def in_force(plane: ControlPlane, column: str) -> bool:
    """Whether a privileged pod is refused."""
    body = pod()
    body["metadata"]["labels"][LABEL] = column
    body["spec"]["containers"][0]["securityContext"] |= {"privileged": True, "allowPrivilegeEscalation": True}
    return plane.request("POST", PATH, body).status == 403


def columns(arguments: argparse.Namespace) -> dict[str, Callable[[ControlPlane, ExitStack], None]]:
    """`COLUMNS`, and Kyverno's where it is to be had. Raises NoControlPlane where it is asked for in vain."""
    if arguments.kyverno is None and not build.is_built():
        sys.stderr.write(
            "without Kyverno, which is not built yet: make bench-kyverno (some ten minutes, once)\n"
        )
        return dict(COLUMNS)
    build.controller()
    return {**COLUMNS, "kyverno": kyverno_policies(arguments.kyverno or kyverno.APIS[0])}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.admission")
    parser.add_argument(
        "--kyverno", nargs="?", choices=kyverno.APIS, const=kyverno.APIS[0], help="with policies of this API"
    )
    arguments = parser.parse_args()
    try:
        chosen = columns(arguments)
    except NoControlPlane as error:
        raise SystemExit(str(error)) from None
    with Etcd() as etcd, KyvernoPlane(etcd, audited=False) as plane, ExitStack() as stack:
        for prepare in chosen.values():
            prepare(plane, stack)
        for column in chosen:
            deadline = time.monotonic() + SETTLE_S
            while column != "none" and not in_force(plane, column):
                assert time.monotonic() < deadline, f"{column} is not in force"
                time.sleep(0.1)
        body = pod()
        taken: dict[str, list[float]] = {column: [] for column in chosen}
        for number in range(WARM_UP + REQUESTS):
            for column in chosen:
                seconds = once(plane, column, body)
                if number >= WARM_UP:
                    taken[column].append(seconds)
    size = len(json.dumps(pod()))
    print(f"creation of a {size:,} byte pod{'median':>12}{'p99':>10}{'added':>10}")
    base = statistics.median(taken["none"])
    for column, values in taken.items():
        middle = statistics.median(values)
        high = statistics.quantiles(values, n=100)[98]
        print(f"{column:28}{middle * 1e3:9.2f} ms{high * 1e3:7.2f} ms{(middle - base) * 1e3:7.2f} ms")


if __name__ == "__main__":
    main()
