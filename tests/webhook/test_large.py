"""Large reviews: evaluated elsewhere with the same answers, within a budget, and never in the way of ordinary ones."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.enforce.admission import NotAReview
from pytest_kspec.webhook import large as room
from pytest_kspec.webhook.large import Budget, Large, NotJudged
from pytest_kspec.webhook.specs import Specs, Work
from tests.webhook.reviewing import NOW, body, container, forbid, pod, response
from tests.webhook.running import write_spec
from tests.webhook.test_reviews import BAD, UID, counted, reviewer

RULE = forbid("hostNetwork")


def work(folder: Any, *excluded: Any, **parts: Any) -> tuple[Any, Work]:
    """What a webhook hands to its worker for specifications {name: part}."""
    for name, part in parts.items():
        write_spec(folder / f"{name}.yaml", part)
    loaded = Specs([str(folder)], "prod").load()
    return loaded, Work(loaded.recipes, frozenset(excluded))


def run(test: Any) -> None:
    """One event loop, and no process left behind."""

    async def bounded() -> None:
        async with asyncio.timeout(120), contextlib.AsyncExitStack() as stack:
            await test(stack)

    asyncio.run(bounded())


async def no_labels(namespace: str) -> None:
    raise AssertionError(namespace)


def started(stack: Any, wanted: Any, **budget: Any) -> Any:
    made = Large(Budget(**{"evaluate_s": 60.0, "wait_s": 60.0, **budget}))
    stack.push_async_callback(made.close)
    made.update(wanted)
    return made


def test_the_answer_is_the_same_as_of_a_review_that_is_evaluated_here(tmp_path: Path) -> None:
    loaded, wanted = work(tmp_path, strict=RULE, second=forbid("hostPID"))
    many = pod(hostNetwork=True, containers=[container(name=f"c{i}") for i in range(500)])

    async def test(stack: Any) -> None:
        here = reviewer()
        there = reviewer()
        here.policies = there.policies = loaded.policies
        there.large = started(stack, wanted, above=100)
        for obj, old, options in (
            (pod(), None, {}),
            (BAD, None, {}),
            (BAD, None, {"dryRun": True}),
            (BAD, BAD, {}),
            (many, None, {}),
            ({**pod(), "spec": 5}, None, {}),
            (pod(hostPID=True), None, {"operation": "x"}),
        ):
            for only in (None, loaded.policies.all[0]):
                sent = body(obj, old, **options)
                assert await here.review(sent, only) == await there.review(sent, only)
        assert here.audit == there.audit != []
        assert here.events == there.events
        with pytest.raises(NotAReview, match="dryRun"):
            await there.review(body(BAD, dryRun="x" * 200))
        assert there.audit[-1]["action"] == "refused"
        for made in (here, there):
            assert counted(made, "kspec_webhook_requests_total", result="success") == 14

    run(test)


def test_exclusion_labels_the_breaker_and_changed_specifications_count_there_as_here(tmp_path: Path) -> None:
    selector = {"namespaceScope": {"namespaceSelector": {"matchLabels": {"tier": "front"}}}}
    loaded, wanted = work(tmp_path, "left-out", strict=RULE | selector)
    asked = []

    class Labels:
        async def of(self, namespace: str) -> dict[str, Any]:
            asked.append(namespace)
            return {"tier": "front" if namespace == "shop" else "back"}

    def inside(namespace: str) -> Any:
        return body({**BAD, "metadata": {"name": "web", "namespace": namespace}})

    async def test(stack: Any) -> None:
        made = reviewer()
        made.policies, made.labels = loaded.policies, Labels()
        made.large = started(stack, wanted, above=100)
        answers = [
            response(await made.review(inside(name)))["allowed"] for name in ("shop", "other", "left-out")
        ]
        assert (answers, asked) == ([False, True, True], ["shop", "other"])

        made.breaker.allow = lambda: False  # type: ignore[method-assign]
        denied = response(await made.review(inside("shop")))
        assert denied["status"]["message"].endswith("the circuit breaker is open after internal errors")
        assert counted(made, "kspec_webhook_requests_total", result="circuit_breaker_tripped") == 1
        del made.breaker.allow

        changed, again = work(tmp_path, strict=forbid("hostPID"))
        made.policies = changed.policies
        made.large.update(again)
        assert response(await made.review(inside("shop")))["allowed"] is True

    run(test)


SLOW = '''
"""Rules that cost more than they may."""
import os
from pytest_kspec import CustomRule, check

def slow(pod):
    print("a rule that prints", flush=True)
    match pod.spec.get("schedulerName"):
        case "endless":
            while True:
                pass
        case "killed":
            os._exit(1)
        case "memory":
            return ["x" * (1 << 30)]
    return []

RULE = CustomRule(python=slow, reason="slow")

@check(id="team.slow", title="Nothing is slow", severity="high", remediation="Be quick.", rule=RULE)
def test_slow(workloads, findings):
    """Time is short."""
    findings.apply(RULE, workloads)
'''


@pytest.fixture
def slow(tmp_path: Path) -> tuple[Any, Work]:
    """A specification with a rule that hangs, dies or grows by the name of a pod's scheduler."""
    checks = tmp_path / "test_slow.py"
    checks.write_text(SLOW)
    folder = tmp_path / "specs"
    folder.mkdir()
    write_spec(folder / "closed.yaml", RULE, fails="Fail")
    write_spec(folder / "open.yaml", RULE, fails="Ignore")
    loaded = Specs([str(folder)], "prod", checks=[checks]).load()
    assert any(rule.requirement.id == "team.slow" for rule in loaded.policies.all[0].rules)
    return loaded, Work(loaded.recipes, frozenset())


@pytest.mark.parametrize(
    ("scheduler", "why"),
    [
        ("endless", "it takes longer than 2 s to evaluate"),
        ("killed", "the process that evaluates large reviews ended meanwhile"),
        ("memory", "it exceeds the memory limit of a review"),
    ],
)
def test_what_exceeds_the_budget_is_as_the_failure_policy_says_with_a_record(
    slow: tuple[Any, Work], scheduler: str, why: str
) -> None:
    loaded, wanted = slow

    async def test(stack: Any) -> None:
        made = reviewer()
        made.policies = loaded.policies
        made.large = started(stack, wanted, above=100)
        assert response(await made.review(body(pod(schedulerName="quick"))))["allowed"] is True
        made.large._budget = Budget(above=100, evaluate_s=2.0)
        closed, open_ = loaded.policies.all
        asked = body(pod(schedulerName=scheduler))
        denied = response(await made.review(asked, closed))
        assert (denied["uid"], denied["allowed"]) == (UID, False)
        assert denied["status"]["message"] == f"denied by closed: {why}"
        entry = made.audit[-1]
        assert (entry["action"], entry["resource"]["name"]) == ("denied", "web")
        assert {failure["what"] for failure in entry["failures"]} == {why}

        made.large._budget = Budget(above=100, evaluate_s=60.0)
        assert response(await made.review(body(pod(schedulerName="quick"))))["allowed"] is True, "it is back"
        made.large._budget = Budget(above=100, evaluate_s=2.0)
        allowed = response(await made.review(asked, open_))
        assert allowed["allowed"] is True
        assert allowed["warnings"] == [f"kspec: open: not evaluated: {why}"]
        assert made.audit[-1]["action"] == "failed-open"
        assert counted(made, "kspec_webhook_requests_total", result="limited") == 2
        assert counted(made, "kspec_webhook_fail_open_total") == 1
        assert made.breaker.error_rate == 0.0, "nobody opens the breaker by sending what is large"

    run(test)


def test_more_than_the_queue_takes_is_told_at_once_and_the_others_are_answered(tmp_path: Path) -> None:
    loaded, wanted = work(tmp_path, strict=RULE)

    async def test(stack: Any) -> None:
        made = reviewer()
        made.policies = loaded.policies
        made.large = started(stack, wanted, above=100, waiting=3)
        answers = [
            response(text) for text in await asyncio.gather(*(made.review(body(pod())) for _ in range(10)))
        ]
        assert [answer["allowed"] for answer in answers] == [True] * 3 + [False] * 7
        assert answers[-1]["status"]["message"].endswith("too many reviews of more than 0 KiB at once")
        made.large = started(stack, wanted, above=100, waiting_bytes=2000)
        texts = await asyncio.gather(*(made.review(body(pod())) for _ in range(10)))
        allowed = sum(response(text)["allowed"] for text in texts)
        assert allowed == 2000 // len(body(pod()))

    run(test)


def test_who_waits_too_long_behind_others_is_not_kept(slow: tuple[Any, Work]) -> None:
    _, wanted = slow

    async def test(stack: Any) -> None:
        large = started(stack, wanted, above=100)
        quick, endless = body(pod()), body(pod(schedulerName="endless"))
        await large.judge(quick, "", NOW, no_labels, evaluate=True)
        large._budget = Budget(above=100, wait_s=0.2, evaluate_s=3.0)
        first = asyncio.create_task(large.judge(endless, "", NOW, no_labels, evaluate=True))
        await asyncio.sleep(0)
        with pytest.raises(NotJudged, match=r"it waited for 0.2 s for other large reviews"):
            await large.judge(quick, "", NOW, no_labels, evaluate=True)
        with pytest.raises(NotJudged, match="longer than 3 s"):
            await first
        assert (large._waiting, large._waiting_bytes) == (0, 0)

    run(test)


def test_a_request_that_is_cancelled_leaves_no_answer_for_the_next(slow: tuple[Any, Work]) -> None:
    _, wanted = slow

    async def test(stack: Any) -> None:
        large = started(stack, wanted, above=100)
        await large.judge(body(pod()), "", NOW, no_labels, evaluate=True)
        cancelled = asyncio.create_task(
            large.judge(body(pod(schedulerName="endless")), "", NOW, no_labels, evaluate=True)
        )
        await asyncio.sleep(0.2)
        cancelled.cancel()
        said = await large.judge(body(BAD, uid="next"), "", NOW, no_labels, evaluate=True)
        assert response(said.answer)["uid"] == "next"

    run(test)


def test_a_process_that_cannot_be_started_is_said_and_the_failure_policy_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loaded, wanted = work(tmp_path, strict=RULE)
    monkeypatch.setattr(room, "COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))

    async def test(stack: Any) -> None:
        made = reviewer()
        made.policies = loaded.policies
        made.large = started(stack, wanted, above=100)
        denied = response(await made.review(body(pod())))
        assert denied["status"]["message"].endswith(
            "the process that evaluates large reviews could not be started"
        )

    run(test)
    assert "the process for large reviews could not be started" in caplog.text


def test_nothing_of_the_working_directory_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, wanted = work(tmp_path, strict=RULE)
    planted = tmp_path / "planted"
    for name in ("msgspec", "pickle", "pytest_kspec", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(f"open({str(planted)!r}, 'w')")
    monkeypatch.chdir(tmp_path)

    async def test(stack: Any) -> None:
        large = started(stack, wanted, above=100)
        said = await large.judge(body(BAD), "", NOW, no_labels, evaluate=True)
        assert response(said.answer)["allowed"] is False

    run(test)
    assert not planted.exists()
