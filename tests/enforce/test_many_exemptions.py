"""A review, and the policies of an API server, with many exemptions: each is not compared with each violation."""

import pytest

from pytest_kspec.enforce.cel import exemptions as exempting
from pytest_kspec.enforce.cel.program import program
from pytest_kspec.enforce.decide import decide
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.results import exemptions as exemption
from pytest_kspec.rules.cel.places import PODS
from pytest_kspec.spec.loading import spec_from_part
from tests.webhook.reviewing import CHECKSET, NOW, container, pod, policies, policy, request

MANY = [
    {
        "name": f"e{n}",
        "reason": "r",
        "resources": [{"kind": "Pod", "name": f"web-{n}"}],
        "containers": [f"c-{n}*"],
    }
    for n in range(200)
]
SPEC = {"podSecurity": {"enforce": "restricted"}, "policyExemptions": MANY}


def test_a_review_compares_few(monkeypatch: pytest.MonkeyPatch) -> None:
    made = policies(policy(SPEC))
    compared = []
    plain = exemption._Compiled.covers
    monkeypatch.setattr(
        exemption._Compiled, "covers", lambda self, *args: compared.append(self) or plain(self, *args)
    )
    bad = pod(containers=[container(name=f"c-{n}") for n in range(50)])
    bad["metadata"] = {**bad["metadata"], "name": "web-7"}
    decision = decide(request(bad), made, NOW, None)
    assert {found.finding.container for found in decision.exempted} == {"c-7"}
    violations = len(decision.exempted) + 50 * len(made.all[0].rules)
    assert 0 < len(compared) <= violations


def test_policies_choose_exemptions_once_a_requirement(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    plain = exempting.chosen
    monkeypatch.setattr(exempting, "chosen", lambda *args: asked.append(args[1]) or plain(*args))
    plan = enforcement_plan(spec_from_part(SPEC), CHECKSET)
    made, _ = program(plan, PODS, "c")
    assert len(asked) == len(set(asked))
    assert len(made.questions) <= len(asked)
