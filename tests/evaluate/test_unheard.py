"""What a check reports where nobody hears it, or what it keeps to itself, is an error and no pass."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pytest_kspec import Cluster, Findings, Pods, Rbac, ResourceLister, check
from pytest_kspec.errors import AccessDenied
from pytest_kspec.evaluate import unheard
from pytest_kspec.results.result import CheckResult
from pytest_kspec.results.verdict import Verdict
from pytest_kspec.testing import evaluate
from tests.cluster.objects import pod

fork = multiprocessing.get_context("fork")


def result_of(do: Callable[..., object], **options: Any) -> CheckResult:
    """Of a check that looks at its pods, and then does this."""

    @check(id="acme.unheard", title="Reports", severity="low", remediation="None.")
    def unheard_check(
        pods: Pods, cluster: Cluster, resources: ResourceLister, rbac: Rbac, findings: Findings
    ) -> None:
        """Why."""
        assert len(list(pods)) == 1
        do(cluster=cluster, resources=resources, rbac=rbac, findings=findings)

    (result,) = evaluate(unheard_check, objects=[pod("a")], **options)
    return result


READS: dict[str, Callable[..., object]] = {
    "list": lambda cluster, **_: cluster.list("Role"),
    "group": lambda cluster, **_: cluster.list("Role", "rbac.authorization.k8s.io"),
    "rbac": lambda rbac, **_: rbac.roles,
    "resources": lambda resources, **_: resources("Role"),
}


@pytest.mark.parametrize("how", READS)
def test_a_list_that_could_not_be_read_is_an_error_also_where_the_check_handles_it(how: str) -> None:
    def reads(**given: Any) -> None:
        with contextlib.suppress(BaseException):
            READS[how](**given)

    result = result_of(reads, denied=["roles"])
    assert result.verdict is Verdict.ERROR
    assert "cannot list roles.rbac.authorization.k8s.io" in result.reason


def test_it_is_said_once_and_beats_a_skip() -> None:
    def skips(cluster: Cluster, findings: Findings, **_: Any) -> None:
        try:
            cluster.list("Role")
        except AccessDenied as error:
            findings.skip(f"may not look: {error}")
            raise

    result = result_of(skips, denied=["roles"])
    assert result.verdict is Verdict.ERROR
    assert result.reason.count("cannot list roles") == 1


def test_a_kind_that_is_not_served_is_an_answer() -> None:
    def reads(cluster: Cluster, **_: Any) -> None:
        with contextlib.suppress(Exception):
            cluster.list("Role")

    assert result_of(reads, missing=["roles"]).verdict is Verdict.PASS


def later(findings: Findings, start: threading.Event) -> None:
    start.wait(60)
    findings.add(None, message="late")


@pytest.mark.parametrize("daemon", [False, True])
def test_a_thread_that_nobody_waits_for(daemon: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unheard, "THREADS_S", 0.05)
    end = threading.Event()

    def leaves(findings: Findings, **_: Any) -> None:
        findings.add(None, message="early")
        threading.Thread(target=later, args=(findings, end), name="late", daemon=daemon).start()

    try:
        result = result_of(leaves)
    finally:
        end.set()
    assert result.verdict is Verdict.ERROR
    assert "the check returned while 1 thread(s) that it started were still running (late)" in result.reason
    assert [finding.message for finding in result.findings] == ["early"]


def test_a_thread_that_soon_ends_is_waited_for() -> None:
    def leaves(findings: Findings, **_: Any) -> None:
        threading.Timer(0.05, findings.add, (None,), {"message": "late"}).start()

    result = result_of(leaves)
    assert result.verdict is Verdict.FAIL
    assert [finding.message for finding in result.findings] == ["late"]


def test_threads_that_wait_for_work_are_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unheard, "THREADS_S", 5.0)
    kept: list[ThreadPoolExecutor] = []
    end = threading.Event()

    def leaves(findings: Findings, **_: Any) -> None:
        kept.append(ThreadPoolExecutor(1))
        kept[0].submit(findings.add, None, message="in time").result()
        threading.Thread(target=end.wait, args=(60,), daemon=True).start()  # as libraries have

    started = time.monotonic()
    try:
        result = result_of(leaves)
    finally:
        end.set()
        kept[0].shutdown()
    assert time.monotonic() - started < 5.0
    assert [finding.message for finding in result.findings] == ["in time"]


def _ends(findings: Findings) -> None:
    child = fork.Process(target=findings.add, args=(None,), kwargs={"message": "lost"})
    child.start()
    child.join()


def _dies(findings: Findings) -> None:
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            findings.error("lost")
        os._exit(0)
    os.waitpid(child, 0)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("do", [_ends, _dies])
def test_a_copy_of_the_process_cannot_report(do: Callable[[Findings], None]) -> None:
    result = result_of(lambda findings, **_: do(findings))
    assert result.verdict is Verdict.ERROR
    assert "a child process reported findings or errors, which are lost" in result.reason


def test_a_copy_that_reports_nothing_is_no_matter() -> None:
    def copies(**_: Any) -> None:
        child = fork.Process(target=time.sleep, args=(0,))
        child.start()
        child.join()

    assert result_of(copies).verdict is Verdict.PASS


def test_the_end_of_its_time_is_an_error_also_where_the_check_handles_it() -> None:
    def sleeps(**_: Any) -> None:
        with contextlib.suppress(BaseException):
            time.sleep(60)

    result = result_of(sleeps, timeout_s=0.2)
    assert result.verdict is Verdict.ERROR
    assert "exceeded the time limit" in result.reason
