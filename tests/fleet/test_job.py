"""The engine `job` against the real Job controller: one Indexed Job a run, whose outcomes are in PostgreSQL."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import SourceUnavailable, UsageError
from pytest_kspec.fleet.job import (
    REFUSED_S,
    RUN,
    WAITING_S,
    Settings,
    State,
    Watch,
    job_name,
    manifest,
    shards_for,
    submit,
    wait,
)
from pytest_kspec.fleet.local import Failed
from pytest_kspec.storage import fleetattempts
from pytest_kspec.storage.engine import open_store
from tests.controlplane import namespaces
from tests.controlplane.server import ControlPlane, Etcd
from tests.fleet.conftest import Fleet, MakeFleet
from tests.fleet.kubelet import NO_IMAGE, Kubelet
from tests.fleet.test_attempts import KILLS_ITS_WORKER, checks
from tests.observe.collector import collecting
from tests.storage.servers import ObjectStore, Postgres
from tests.webhook.running import until

IMAGE = "registry.example/kspec:1"
HURRIED = """
import sys
from pytest_kspec.cli.main import main
from pytest_kspec.fleet import work
work.STOP_S = 1.0
sys.exit(main(sys.argv[1:]))
"""
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def hub(etcd: Etcd) -> Iterator[ControlPlane]:
    with ControlPlane(etcd, controllers=True, audited=False) as plane:
        yield plane


class Jobs:
    """A namespace of the hub with a Secret of the store and one of the fleet's kubeconfig."""

    def __init__(self, hub: ControlPlane, fleet: Fleet, variables: dict[str, str]) -> None:
        self.hub, self.fleet = hub, fleet
        self.namespace = f"jobs-{uuid.uuid4().hex[:8]}"
        namespaces.create(hub, self.namespace)
        # What a Job makes has to be allowed by the strictest of Kubernetes' own levels.
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        hub.request("PATCH", f"/api/v1/namespaces/{self.namespace}", {"metadata": {"labels": labels}})
        self.secret("store", KSPEC_STORE=fleet.store, **variables)
        self.secret("fleet", kubeconfig=fleet.world.kubeconfig.read_text())
        self.config = hub.kubeconfig(path=fleet.folder / "hub.kubeconfig", context="hub")

    def secret(self, name: str, **values: str) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        body = {"metadata": {"name": name}, "data": data}
        assert self.hub.request("POST", f"/api/v1/namespaces/{self.namespace}/secrets", body).status == 201

    def words(self, *words: str, image: str = IMAGE) -> tuple[str, ...]:
        # One kubeconfig has the fleet and the hub, as on the machine of somebody who looks after both.
        return (
            *("scan", "spec.yaml", "--all-contexts", "--hub=hub", "--engine=job", f"--image={image}"),
            *(f"--namespace={self.namespace}", "--store-secret=store", "--kubeconfig-secret=fleet"),
            *words,
        )

    def job(self, run: str) -> dict[str, Any]:
        path = f"/apis/batch/v1/namespaces/{self.namespace}/jobs/{job_name(run)}"
        answer = self.hub.request("GET", path)
        assert answer.status == 200
        found: dict[str, Any] = answer.body
        return found


@pytest.fixture
def jobs(
    hub: ControlPlane, make_fleet: MakeFleet, postgres: Postgres, monkeypatch: Any
) -> Callable[..., Jobs]:
    def make(
        clusters: int,
        behaviour: dict[str, dict[str, Any]] | None = None,
        store: str = "",
        **variables: str,
    ) -> Jobs:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        store = store or postgres.database(f"f{uuid.uuid4().hex[:12]}")
        fleet = make_fleet(clusters, behaviour, store=store)
        made = Jobs(hub, fleet, variables)
        # `-l` leaves the hub out, which has no labels.
        monkeypatch.setenv("KSPEC_HUB", "hub")
        both = f"{fleet.world.kubeconfig}{os.pathsep}{made.config}"
        monkeypatch.setattr(Fleet, "environment", lambda self: _environment(self, both))
        return made

    return make


_own = Fleet.environment


def _environment(fleet: Fleet, kubeconfig: str) -> dict[str, str]:
    return _own(fleet) | {"KUBECONFIG": kubeconfig}


def test_a_run_as_a_job(jobs: Callable[..., Jobs], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in PostgreSQL, full reports in S3, spans of all its pods in the trace of who started it."""
    with ObjectStore() as objects, collecting() as collector:
        behaviour = {"c-002": {"fault": "refused"}, "c-003": {"latency": 0.2}}
        monkeypatch.setenv("TRACEPARENT", PARENT)
        _a_run(jobs(6, behaviour, **objects.bucket("fleet"), **collector.environment))
        runs = collector.named("RUN kspec")
        assert len(runs) >= 6, "a cluster that does not answer is tried again"
        assert {(one.trace, one.parent) for one in runs} == {tuple(PARENT.split("-")[1:3])}


def test_a_run_as_a_job_over_s3_alone(jobs: Callable[..., Jobs]) -> None:
    with ObjectStore() as objects:
        behaviour = {"c-002": {"fault": "refused"}, "c-003": {"latency": 0.2}}
        _a_run(jobs(6, behaviour, "s3://fleet/team", **objects.bucket("fleet")))


def _a_run(made: Jobs) -> None:
    with Kubelet(made.hub, made.namespace) as kubelet:
        words = made.words("-l", "env", "--shards=3", "--run=nightly", "-o", "json")
        words += ("--store-reports=s3://fleet/reports", "--report=json:all.json")
        said = made.fleet.run(*words)
        assert said.code == 2, (said.err, kubelet.output)
        outcomes = {row["name"]: row["outcome"] for row in said.json["clusters"]}
        assert outcomes == {f"c-00{n}": "unreachable" if n == 2 else "scanned" for n in range(6)}
        assert len(kubelet.started) == 3
        # Once more is the same run: nothing is started, and nothing is scanned.
        again = made.fleet.run(*words)
        assert (again.code, again.json["clusters"]) == (2, said.json["clusters"])
        assert len(kubelet.started) == 3
    whole = json.loads((made.fleet.folder / "all.json").read_bytes())
    assert [cluster["name"] for cluster in whole["clusters"]] == [f"c-00{number}" for number in range(6)]
    assert whole["summary"]["score"] == said.json["summary"]["score"]
    job = made.job("nightly")
    assert job["spec"]["completions"] == 3
    assert job["spec"]["backoffLimitPerIndex"] == 2
    assert job["spec"]["podReplacementPolicy"] == "Failed"


@pytest.mark.long
def test_a_pod_that_is_killed_leaves_no_gap_and_nothing_twice(jobs: Callable[..., Jobs]) -> None:
    made = jobs(4, {f"c-00{n}": {"latency": 0.2} for n in range(4)})
    with Kubelet(made.hub, made.namespace) as kubelet:
        running = made.fleet.start(*made.words("-l", "env", "--shards=1", "--run=killed", "-o", "json"))
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and _done(made) < 1:
            time.sleep(0.1)
        kubelet.kill(kubelet.started[0])
        out, err = running.communicate(timeout=240)
        assert running.returncode == 1, (err, kubelet.output)
        assert len(kubelet.started) == 2
    assert set(made.fleet.outcomes("killed").values()) == {"scanned"}
    assert '"scanned": 4' in out


def _done(made: Jobs) -> int:
    try:
        return sum(outcome != "waiting" for outcome in made.fleet.outcomes().values())
    except ValueError:  # the store has no run yet
        return 0


def test_an_image_that_does_not_come_is_waited_for_and_then_it_is_over(jobs: Callable[..., Jobs]) -> None:
    made = jobs(1)
    image = f"registry.example/{NO_IMAGE}:1"
    with Kubelet(made.hub, made.namespace):
        words = made.words("-l", "env", "--run=image-2", "--no-wait", image=image)
        assert made.fleet.run(*words).code == 0
        watch = Watch(Access("hub", str(made.config)), "image-2", made.namespace)
        reason = f"ErrImagePull: {image}: not found"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and watch._stuck_since is None:
            state = watch.state(1000.0)
            time.sleep(0.1)
        assert watch.state(1000.0 + WAITING_S - 1) == (False, "", {0: ""})
        assert watch.state(1000.0 + WAITING_S + 1) == (True, reason, {0: ""})
        assert not state.ended


def test_a_node_without_the_image_ends_no_pod_of_another(jobs: Callable[..., Jobs]) -> None:
    made = jobs(2, {"c-000": {"latency": 2.0}, "c-001": {"latency": 2.0}})
    with Kubelet(made.hub, made.namespace) as kubelet:
        kubelet.no_image = {"1"}
        words = made.words("-l", "env", "--run=mixed", "--shards=2", "--no-wait")
        assert made.fleet.run(*words).code == 0
        watch = Watch(Access("hub", str(made.config)), "mixed", made.namespace)
        deadline = time.monotonic() + 60
        while not (kubelet.started and "1" in _indexes(made, "ErrImagePull")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert watch.state(1000.0) == (False, "", {0: "", 1: ""})
        assert watch.state(1000.0 + WAITING_S + 1) == (False, "", {0: "", 1: ""})


def _indexes(made: Jobs, reason: str) -> list[str]:
    pods = made.hub.request("GET", f"/api/v1/namespaces/{made.namespace}/pods").body["items"]
    key = "batch.kubernetes.io/job-completion-index"
    return [pod["metadata"]["annotations"][key] for pod in pods if reason in json.dumps(pod["status"])]


@pytest.mark.long
def test_a_shard_that_fails_three_times_takes_no_other_with_it(jobs: Callable[..., Jobs]) -> None:
    made = jobs(4)
    with Kubelet(made.hub, made.namespace) as kubelet:
        kubelet.no_memory = {"1"}
        said = made.fleet.run(
            *made.words("-l", "env", "--shards=2", "--run=oom", "-o", "json"), timeout=400.0
        )
    assert said.code == 2, said.err
    assert len(kubelet.started) == 4
    found = sorted((row["outcome"], row["reason"], row["error"]) for row in said.json["clusters"])
    lost = ("not-scanned", "not scanned: shard 1 failed: OOMKilled (exit code 137)", 4)
    assert found == [lost, lost, ("scanned", "", 0), ("scanned", "", 0)]
    assert said.json["summary"]["requirementCoverage"] < 50


@pytest.mark.long
def test_a_cluster_that_ends_each_pod_is_an_error_and_its_shard_has_all_outcomes(
    jobs: Callable[..., Jobs],
) -> None:
    """Two pods are ended, and the third writes it down: Kubernetes tries no more often."""
    made = jobs(3)
    checks(made.fleet, KILLS_ITS_WORKER)
    words = ("-l", "env", "--shards=1", "--run=poison", "--checks=checks", "-o", "json")
    with Kubelet(made.hub, made.namespace) as kubelet:
        said = made.fleet.run(*made.words(*words), timeout=400.0)
        assert said.code == 2, (said.err, kubelet.output)
        assert len(kubelet.started) == 3
    found = {row["name"]: (row["outcome"], row["reason"]) for row in said.json["clusters"]}
    why = "the worker ended unexpectedly 2 times while it scanned this cluster."
    assert found == {"c-000": ("scanned", ""), "c-001": ("failed", why), "c-002": ("scanned", "")}
    until(lambda: made.job("poison")["status"].get("succeeded") == 1)


def test_a_hub_that_does_not_answer_any_more_is_not_waited_for_without_an_end() -> None:
    class Gone(Watch):
        def state(self, moment: float) -> State:
            raise SourceUnavailable("it does not answer.", where="hub")

    clock = iter(range(0, 10_000, 100))
    failed = wait(
        Gone(cast(Access, None), "r", "n"), 2, lambda: False, sleep=lambda _: None, now=lambda: next(clock)
    )
    why = "the hub did not answer for 10 minutes: hub: it does not answer."
    assert failed == [Failed(0, why, final=False), Failed(1, why, final=False)]


@pytest.mark.parametrize("limit", ["quota", "range", "policy"])
def test_pods_that_are_all_refused_end_the_run_with_the_reason(hub: ControlPlane, limit: str) -> None:
    """Of a ResourceQuota, a LimitRange and Pod Security admission; nothing is waited for here but the first Event."""
    namespace, run = f"refused-{limit}", "refused"
    namespaces.create(hub, namespace)
    path = f"/api/v1/namespaces/{namespace}"
    if limit == "policy":
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        assert hub.request("PATCH", path, {"metadata": {"labels": labels}}).status == 200
    else:
        kind, spec = {
            "quota": ("resourcequotas", {"hard": {"pods": "0"}}),
            "range": ("limitranges", {"limits": [{"type": "Container", "max": {"memory": "8Mi"}}]}),
        }[limit]
        assert hub.request("POST", f"{path}/{kind}", {"metadata": {"name": "x"}, "spec": spec}).status == 201
    job = manifest(run, 1, Settings(IMAGE, "store", namespace))
    if limit == "policy":
        job["spec"]["template"]["spec"]["hostNetwork"] = True
    assert hub.request("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", job).status == 201
    watch = Watch(Access(hub.name, str(hub.kubeconfig())), run, namespace)
    assert watch.state(1000.0) == (False, "", {})
    assert watch.state(1000.0 + REFUSED_S - 1) == (False, "", {})
    deadline = time.monotonic() + 60
    while "forbidden" not in (state := watch.state(1000.0 + REFUSED_S + 1)).why:
        assert state.ended
        assert time.monotonic() < deadline, state
        time.sleep(0.2)
    assert state.why.startswith("no pod could be created: Error creating: pods ")
    namespaces.delete(hub, namespace)


def test_two_who_begin_the_same_run_create_one_job(
    hub: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two leaders, or a person beside one. A queue holds the Job: it waits without an end, and without pods."""
    namespace, run = "twice", "twice"
    namespaces.create(hub, namespace)
    access = [Access(hub.name, str(hub.kubeconfig())) for _ in range(4)]
    settings = Settings(IMAGE, "store", namespace, queue="scans")
    with ThreadPoolExecutor() as pool:
        names = list(pool.map(lambda one: submit(one, run, 2, settings), access))
    assert names == [job_name(run)] * 4
    looks, find = [None], Writer.find  # one that looked before another one had created it
    monkeypatch.setattr(Writer, "find", lambda *a, **more: looks.pop() if looks else find(*a, **more))
    assert (submit(access[0], run, 2, settings), looks) == (job_name(run), [])
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    (job,) = hub.request("GET", path).body["items"]
    assert (job["metadata"]["name"], job["spec"]["suspend"]) == (job_name(run), True)
    watch = Watch(access[0], run, namespace)
    for moment in (0.0, REFUSED_S + 1, 100_000.0):
        assert watch.state(moment) == State(False)
    # The queue lets it go: from now on, pods are expected.
    assert hub.request("PATCH", f"{path}/{job_name(run)}", {"spec": {"suspend": False}}).status == 200
    until(lambda: len(hub.request("GET", f"/api/v1/namespaces/{namespace}/pods").body["items"]) == 2)
    assert not watch.state(200_000.0).ended
    body = {"metadata": {"annotations": {RUN: "another"}}}
    hub.request("PATCH", f"{path}/{job_name(run)}", body)
    with pytest.raises(UsageError, match="belongs to another run"):
        submit(access[0], run, 2, settings)
    namespaces.delete(hub, namespace)


@pytest.mark.long
def test_an_image_that_does_not_come_ends_the_run_with_its_reason(jobs: Callable[..., Jobs]) -> None:
    made = jobs(1)
    with Kubelet(made.hub, made.namespace):
        image = f"registry.example/{NO_IMAGE}:1"
        said = made.fleet.run(*made.words("-l", "env", "--run=image", "-o", "json", image=image))
    assert said.code == 2, said.err
    (row,) = said.json["clusters"]
    assert row["outcome"] == "not-scanned"
    assert row["reason"] == f"not scanned: shard 0 failed: ErrImagePull: {image}: not found"


def test_a_job_that_somebody_deletes_ends_the_run(jobs: Callable[..., Jobs]) -> None:
    made = jobs(1, {"c-000": {"latency": 1.0}})
    running = made.fleet.start(*made.words("-l", "env", "--run=deleted", "-o", "json"))
    path = f"/apis/batch/v1/namespaces/{made.namespace}/jobs/{job_name('deleted')}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and made.hub.request("GET", path).status != 200:
        time.sleep(0.1)
    made.hub.request("DELETE", path, {"propagationPolicy": "Background"})
    out, err = running.communicate(timeout=120)
    assert running.returncode == 2, err
    assert "not scanned: shard 0 failed: its Job was deleted" in out


@pytest.mark.parametrize("pods", [True, False], ids=["after its end", "before any pod ran"])
def test_a_job_that_is_gone_before_anybody_read_it(jobs: Callable[..., Jobs], pods: bool) -> None:
    """As its time to live ends, or by a person: what its pods stored is the run; what they did not do is begun anew."""
    made = jobs(2)
    run = made.words("-l", "env", "--run=gone", "-o", "json")
    assert made.fleet.run(*run, "--no-wait").code == 0
    path = f"/apis/batch/v1/namespaces/{made.namespace}/jobs/{job_name('gone')}"
    with Kubelet(made.hub, made.namespace) if pods else contextlib.nullcontext():
        until(lambda: not pods or bool(made.job("gone").get("status", {}).get("completionTime")))
    made.hub.request("DELETE", path, {"propagationPolicy": "Background"})
    until(lambda: made.hub.request("GET", path).status == 404)
    with contextlib.closing(open_store(made.fleet.store, option="--store")) as store:
        for _ in range(2):  # pods that were killed with their Job: nothing that the cluster did
            fleetattempts.started(store, "gone", 0)
    with Kubelet(made.hub, made.namespace) as kubelet:
        said = made.fleet.run(*run)
        assert said.code == 1, said.err
        assert {row["outcome"] for row in said.json["clusters"]} == {"scanned"}
        assert len(kubelet.started) == (0 if pods else 1)
    assert (made.hub.request("GET", path).status == 404) == pods, "what is done needs no Job"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (Settings("kspec", "store"), "the image kspec has no digest and no version"),
        (Settings("kspec:latest", "store"), "the image kspec:latest has no digest and no version"),
        (
            Settings("registry:5000/kspec", "store"),
            "the image registry:5000/kspec has no digest and no version",
        ),
        (Settings("registry:5000/kspec:1", "store"), ""),
        (Settings("kspec@sha256:aa", "store"), "the image kspec@sha256:aa has no digest and no version"),
        (Settings(f"kspec@sha256:{'a' * 64}", "store"), ""),
        (Settings("kspec:1", ""), "a Job needs an image and the Secret of a store"),
    ],
)
def test_an_image_that_says_which_it_is(settings: Settings, problem: str) -> None:
    assert settings.problem() == problem


def test_the_job_of_an_older_server_and_of_a_queue() -> None:
    made = manifest("r", 4, Settings("kspec:1", "store", queue="scans"), by_index=False)
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "scans"
    assert made["spec"]["suspend"] is True
    assert made["spec"]["backoffLimit"] == 8
    assert "backoffLimitPerIndex" not in made["spec"]
    assert [rule["action"] for rule in made["spec"]["podFailurePolicy"]["rules"]] == ["Ignore"]
    assert [shards_for(n) for n in (1, 10, 11, 1000, 100_000)] == [1, 1, 2, 100, 500]


def test_a_worker_that_is_told_to_end_leaves_the_rest_to_the_next(make_fleet: MakeFleet) -> None:
    """Also three times: it is nothing that the cluster did which is scanned at that moment."""
    fleet = make_fleet(4, {"c-000": {"latency": 3.0}})
    run = fleet.run("scan", "spec.yaml", "--all-contexts", "--no-wait", "--shards=1").out.strip()
    words = [sys.executable, "-c", HURRIED, "fleet", "work", f"--run={run}", "--index=0"]
    for _ in range(3):
        hurried = subprocess.Popen(words, cwd=fleet.folder, env=fleet.environment(), stderr=subprocess.PIPE)
        until(lambda: _ended(fleet) == 1)
        hurried.terminate()
        hurried.communicate(timeout=60)
        assert hurried.returncode == 3
        assert _ended(fleet) == 0
    fleet.world.behave({f"c-00{n}": {"latency": 0.3} for n in range(4)})
    working = fleet.start("work", f"--run={run}", "--index=0")
    until(lambda: _ended(fleet) == 1)
    os.kill(working.pid, signal.SIGTERM)
    _, err = working.communicate(timeout=60)
    left = [name for name, outcome in fleet.outcomes().items() if outcome == "waiting"]
    assert working.returncode == (3 if left else 0), err
    assert fleet.run("work", f"--run={run}", "--index=0").code == 0
    assert set(fleet.outcomes().values()) == {"scanned"}


def test_a_worker_whose_run_ended_before_it_began_ends(make_fleet: MakeFleet) -> None:
    """Nobody tells it: who started it was killed while the worker was starting."""
    fleet = make_fleet(1)
    run = fleet.run("scan", "spec.yaml", "--all-contexts", "--no-wait").out.strip()
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    said = fleet.run("work", f"--run={run}", "--index=0", f"--with-parent={ended.pid}")
    assert (said.code, fleet.outcomes()) == (2, {"c-000": "waiting"}), said.err
    assert fleet.run("work", f"--run={run}", "--index=0", f"--with-parent={os.getpid()}").code == 0


def _ended(fleet: Fleet) -> int:
    """Attempts at the first cluster that were not given back."""
    with contextlib.closing(sqlite3.connect(fleet.store)) as connection:
        return int(
            connection.execute("SELECT attempts - returned FROM kspec_targets WHERE position = 0").fetchone()[
                0
            ]
        )


def test_wrong_input_is_not_tried_again(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(1)
    run = fleet.run("scan", "spec.yaml", "--all-contexts", "--no-wait").out.strip()
    (fleet.folder / "spec.yaml").write_text(
        Path(fleet.folder, "spec.yaml").read_text().replace("1.30", "1.29")
    )
    said = fleet.run("work", f"--run={run}", "--index=0")
    assert said.code == 4
    assert "their digests differ" in said.err
    assert fleet.run("work", f"--run={run}", "--index=7").code == 4
    assert fleet.run("work", "--run=none", "--index=0").code == 4
