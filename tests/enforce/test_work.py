"""What a pod costs grows with its size and not faster: calls are counted, not seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.enforce.decide import MOST_LISTED, decide
from pytest_kspec.enforce.decision import counted
from pytest_kspec.kube.resources import SECURITY_PREFIXES
from pytest_kspec.webhook.judging import say
from tests.calls import calls_of
from tests.webhook.reviewing import CONTAINER, NOW, forbid, pod, policies, policy, request, response

STRICT = Path(__file__).parents[2] / "benchmarks" / "strict.yaml"
FORBIDDEN = [
    {"key": "securityContext.capabilities.add", "value": ["SYS_ADMIN", "NET_ADMIN"]},
    {"key": "hostNetwork"},
]
EXEMPT = {
    "name": "some", "reason": "r", "resources": [{"kind": "Pod", "name": "web"}], "containers": ["c1*"],
}  # fmt: skip


def annotated(n: Any) -> dict[str, Any]:
    keys = {f"{prefix}c{i}": "unconfined" for prefix in SECURITY_PREFIXES for i in range(n)}
    made = pod(containers=[CONTAINER | {"name": f"c{i}"} for i in range(n)])
    return {**made, "metadata": made["metadata"] | {"annotations": keys}}


LARGE = {
    "sysctls": lambda n: pod(
        securityContext={"sysctls": [{"name": f"kernel.{i}", "value": ""} for i in range(n)]}
    ),
    "volumes": lambda n: pod(volumes=[{"name": f"v{i}", "hostPath": {"path": "/"}} for i in range(n)]),
    "token volumes": lambda n: pod(
        nodeName="x", volumes=[{"name": f"kube-api-access-{i:05d}", "projected": {}} for i in range(n)]
    ),
    "volumes named as the node": lambda n: pod(nodeName="x", volumes=[{"name": "x"}] * n),
    "containers": lambda n: pod(containers=[CONTAINER | {"name": f"c{i}"} for i in range(n)]),
    "containers of one name": lambda n: pod(containers=[CONTAINER] * n),
    "sidecars": lambda n: pod(initContainers=[{"name": f"c{i}", "image": f"i{i}"} for i in range(n)]),
    "image of parts": lambda n: pod(containers=[CONTAINER | {"image": "a/" * n}]),
    "image of labels": lambda n: pod(containers=[CONTAINER | {"image": "a." * n + "!/x"}]),
    "image of separators": lambda n: pod(containers=[CONTAINER | {"image": "r.io/" + "a__" * n + "!"}]),
    "ports": lambda n: pod(
        containers=[CONTAINER | {"ports": [{"containerPort": 22, "hostPort": i} for i in range(n)]}]
    ),
    "capabilities": lambda n: pod(
        containers=[CONTAINER | {"securityContext": {"capabilities": {"add": [f"C{i}" for i in range(n)]}}}]
    ),
    "annotations of containers": annotated,
    "a long name": lambda n: pod(
        hostNetwork=True, containers=[CONTAINER | {"name": "n" * n, "securityContext": {"privileged": True}}]
    ),
    "a long value": lambda n: pod(containers=[CONTAINER | {"securityContext": {"procMount": "x " * n}}]),
}


@pytest.fixture(scope="module")
def part() -> Any:
    found = yaml.safe_load(STRICT.read_text(encoding="utf-8"))["spec"]
    found["workloads"]["containers"]["forbidden"] += FORBIDDEN[:1]
    return found | {"policyExemptions": [EXEMPT]}


def work(part: Any, obj: Any) -> tuple[Any, Any]:
    """Calls of functions until everything is said about a new webhook's first review."""
    made = policies(policy(part), policy(part, "audit", name="audits"))
    asked = request(obj)
    return calls_of(lambda: say(asked, decide(asked, made, NOW), made, "", NOW))


@pytest.mark.parametrize("name", LARGE)
def test_twice_as_much_is_at_most_twice_the_work(part: Any, name: str) -> None:
    few, _ = work(part, LARGE[name](300))
    many, said = work(part, LARGE[name](600))
    assert many <= 2.1 * few
    assert len(said.answer) < 25_000
    assert len(str(said.record)) < 500_000


def test_the_first_violations_of_a_rule_are_listed_and_all_are_counted() -> None:
    count = 3 * MOST_LISTED
    rule = forbid("securityContext.privileged") | {"policyExemptions": [EXEMPT]}
    bad = {"securityContext": {"privileged": True}}
    obj = pod(containers=[CONTAINER | {"name": f"c{i}", **bad} for i in range(count)])
    decision = decide(request(obj), policies(policy(rule)), NOW)
    exempted = sum(f"c{i}".startswith("c1") for i in range(count))
    assert counted(decision.exempted) == exempted
    assert counted(decision.found) == count
    assert len(decision.found) == MOST_LISTED + min(exempted, MOST_LISTED)
    assert decision.message.startswith(
        f"denied by strict: {count - exempted} violations: spec.containers[c0]"
    )


def test_one_violation_that_no_exemption_covers_denies_behind_any_number_that_are() -> None:
    rule = forbid("securityContext.privileged") | {"policyExemptions": [EXEMPT]}
    bad = {"securityContext": {"privileged": True}}
    names = [f"c1{i}" for i in range(1000)] + ["other"]
    obj = pod(containers=[CONTAINER | {"name": name, **bad} for name in names])
    made = policies(policy(rule))
    decision = decide(request(obj), made, NOW)
    assert not decision.allowed
    answer = response(say(request(obj), decision, made, "", NOW).answer)
    assert answer["status"]["message"].startswith("denied by strict: 1 violation: spec.containers[other]")


def test_warnings_count_what_they_do_not_list() -> None:
    rule = forbid("securityContext.privileged")
    bad = {"securityContext": {"privileged": True}}
    obj = pod(containers=[CONTAINER | {"name": f"c{i}", **bad} for i in range(1000)])
    made = policies(policy(rule, "audit"))
    answer = response(say(request(obj), decide(request(obj), made, NOW), made, "", NOW).answer)
    assert answer["warnings"][-1] == "kspec: and 985 more"
