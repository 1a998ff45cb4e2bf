"""Which pods of a Job are tried again, as Kubernetes is told, and as it does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.fleet.job import Settings, job_name, manifest, submit
from tests.fleet.kubelet import Kubelet
from tests.fleet.test_job import Jobs, hub, jobs
from tests.webhook.running import until

__all__ = ["hub", "jobs"]


@pytest.mark.parametrize("keeps", [True, False], ids=["of today", "of before 1.29"])
def test_a_server_that_drops_what_it_does_not_know_limits_the_whole_job(keeps: bool) -> None:
    """A trial says whether it would keep the limit of each shard."""
    created: list[tuple[bool, dict[str, Any]]] = []

    class Server:
        def find(self, *_: Any, **__: Any) -> None:
            return None

        def create(self, obj: dict[str, Any], *, dry_run: bool = False, **_: Any) -> dict[str, Any]:
            created.append((dry_run, obj))
            spec = {
                key: value for key, value in obj["spec"].items() if keeps or key != "backoffLimitPerIndex"
            }
            return {**obj, "spec": spec}

    class Hub:
        def do(self, work: Callable[[Server], str]) -> str:
            return work(Server())

    assert submit(cast(Access, Hub()), "r", 4, Settings("kspec:1", "store")) == job_name("r")
    assert [dry_run for dry_run, _ in created] == [True, False]
    spec = created[-1][1]["spec"]
    limits = (spec.get("backoffLimitPerIndex"), spec.get("backoffLimit"))
    assert limits == ((2, None) if keeps else (None, 8))
    actions = {rule["action"] for rule in spec["podFailurePolicy"]["rules"]}
    assert ("FailIndex" in actions) is keeps, "the server would refuse it"


def test_what_is_a_fault_of_the_shard_and_what_is_not() -> None:
    spec = manifest("r", 4, Settings("kspec:1", "store"))["spec"]
    assert spec["podFailurePolicy"]["rules"] == [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailIndex", "onExitCodes": {"containerName": "kspec", "operator": "In", "values": [4]}},
    ]
    assert (spec["backoffLimitPerIndex"], spec["podReplacementPolicy"]) == (2, "Failed")
    # Every shard is tried: none ends the others, and no time is that of all of them.
    assert not {"maxFailedIndexes", "successPolicy", "activeDeadlineSeconds", "backoffLimit"} & spec.keys()
    assert spec["template"]["spec"]["activeDeadlineSeconds"] > 0


def test_an_image_that_is_older_than_the_store_is_not_started_again(jobs: Callable[..., Jobs]) -> None:
    """Its worker says 4, and the Job controller ends this shard."""
    made = jobs(1)
    assert made.fleet.run(*made.words("-l", "env", "--run=old", "--no-wait")).code == 0
    url = made.fleet.store.replace("postgresql://", "postgresql+psycopg://")
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text("UPDATE kspec_schema SET version_num = 'r9999'"))
    with Kubelet(made.hub, made.namespace) as kubelet:
        until(lambda: made.job("old").get("status", {}).get("failedIndexes") == "0")
        assert len(kubelet.started) == 1
    assert "r9999, which this version does not know" in str(kubelet.output)
