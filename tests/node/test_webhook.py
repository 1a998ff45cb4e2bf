"""The webhook of config/ on real nodes: API servers get answers, also while its pods are replaced."""

from __future__ import annotations

import threading
import time
from typing import Any

from pytest_kspec.crds.names import NAMESPACE
from tests.node.conftest import LIMIT_S, Installed, until

GUARDED = "guarded"
PATH = f"/api/v1/namespaces/{GUARDED}/services?dryRun=All"
WEBHOOK = "app.kubernetes.io/name=kspec-webhook"
ENFORCED = {
    "enforcement": {"enabled": True, "mode": "enforce", "engine": "webhook"},
    "webhooks": {"enabled": True, "failurePolicy": "Fail", "timeoutSeconds": 5},
    "namespaceScope": {"includeNamespaces": [GUARDED]},
    "network": {"allowedServiceTypes": ["ClusterIP"]},
}


def service(kind: str) -> dict[str, Any]:
    return {"metadata": {"name": "one"}, "spec": {"ports": [{"port": 80}], "type": kind}}


def test_reviews_are_answered_while_the_pods_are_replaced(installed: Installed) -> None:
    plane = installed.cluster.plane
    installed.kubectl("create", "namespace", GUARDED)
    installed.apply("guard", ENFORCED)
    installed.wait("guard", "PolicyEnforced")

    def refused() -> bool:
        status, body = plane.request("POST", PATH, service("NodePort"))
        return status == 403 and "denied by guard" in body["message"]

    until(refused, installed.state)
    # A dry run leaves nothing behind; a request that is refused leaves an Event.
    assert plane.request("POST", PATH.partition("?")[0], service("NodePort")).status == 403
    until(lambda: installed.get(f"/api/v1/namespaces/{GUARDED}/events")["items"], installed.state)
    before = {pod["metadata"]["name"] for pod in installed.pods(WEBHOOK)}
    answers: list[tuple[int, Any]] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            answers.append(plane.request("POST", PATH, service("ClusterIP")))
            answers.append(plane.request("POST", PATH, service("NodePort")))
            time.sleep(0.02)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        installed.kubectl("rollout", "restart", "deployment/kspec-webhook", "-n", NAMESPACE)
        installed.rolled_out("kspec-webhook")
        until(lambda: not before & {pod["metadata"]["name"] for pod in installed.every_pod(WEBHOOK)})
    finally:
        ended.set()
        for thread in asking:
            thread.join(LIMIT_S)
    # With nobody to answer, both would be refused by the API server, with another message.
    assert {body["message"] for status, body in answers if status not in (201, 403)} == set()
    denials = {body["message"] for status, body in answers if status == 403}
    assert [message for message in denials if "denied by guard" not in message] == []
    assert len(answers) > 50

    installed.kubectl("scale", "deployment/kspec-webhook", "-n", NAMESPACE, "--replicas=0")
    until(lambda: not installed.every_pod(WEBHOOK))
    status, body = plane.request("POST", PATH, service("ClusterIP"))
    assert (status, "failed calling webhook" in body["message"]) == (500, True)
    installed.kubectl("scale", "deployment/kspec-webhook", "-n", NAMESPACE, "--replicas=2")
    installed.rolled_out("kspec-webhook")
    until(refused, installed.state)
    installed.kubectl("delete", "cspec", "guard", f"--timeout={LIMIT_S:.0f}s")
    until(lambda: plane.request("POST", PATH, service("NodePort")).status == 201)
