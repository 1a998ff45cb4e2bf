"""What rules said of pods is remembered within bounds: what was added first is forgotten, and asked again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import pytest

from pytest_kspec.enforce import decide
from pytest_kspec.enforce.decide import MOST_REMEMBERED, Policies
from pytest_kspec.rules.base import Rule, Violation
from tests.webhook.reviewing import forbid, policies, policy


class Counts:
    """A rule that counts how often it is asked, and finds so many violations each time."""

    reason = "counts"

    def __init__(self, violations: int, expected: str = "another") -> None:
        self.asked = 0
        self.found = [Violation(f"spec.x{i}", i, expected) for i in range(violations)]

    def evaluate(self, pod: Any) -> list[Violation]:
        self.asked += 1
        return self.found


def counting(rule: Counts) -> Policies:
    made = policy(forbid("hostPID"))
    (only,) = made.rules
    changed = replace(made._timed.plan, rules=(replace(only, rule=cast(Rule, rule)),))
    made._timed = replace(made._timed, plan=changed)
    return policies(made)


def spec(name: str) -> bytes:
    return json.dumps({"containers": [{"name": name}]}).encode()


def is_known(made: Policies, rule: Counts, name: str) -> bool:
    before = rule.asked
    made.of_pod(spec(name), {})
    return rule.asked == before


SPECS = [f"c{i}" for i in range(10, 40)]


@pytest.mark.parametrize(
    ("bound", "size", "kept"),
    [
        ("REMEMBERED_SHAPES", 3, 3),
        ("REMEMBERED_BYTES", 8 * len(spec("c10")), 8),
        ("REMEMBERED_VIOLATIONS", 16, 8),
    ],
)
def test_of_a_stream_the_last_are_known(
    monkeypatch: pytest.MonkeyPatch, bound: str, size: int, kept: int
) -> None:
    rule = Counts(2)
    made = counting(rule)
    monkeypatch.setattr(decide, bound, size)
    for name in SPECS:
        assert not is_known(made, rule, name)
    assert all(is_known(made, rule, name) for name in reversed(SPECS[-kept:]))
    assert not is_known(made, rule, SPECS[-kept - 1])
    assert not is_known(made, rule, SPECS[-kept]), "it made room for the one before"
    assert is_known(made, rule, SPECS[-1])


def test_what_would_leave_no_room_for_others_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = Counts(2)
    made = counting(rule)
    monkeypatch.setattr(decide, "REMEMBERED_BYTES", 8 * len(spec("c10")))
    assert [is_known(made, rule, name) for name in ("c10", "longer", "longer", "c10")] == [
        False,
        False,
        False,
        True,
    ]
    many = Counts(3)
    made = counting(many)
    monkeypatch.setattr(decide, "REMEMBERED_VIOLATIONS", 16)
    assert [is_known(made, many, "c10") for _ in range(2)] == [False, False]


def test_texts_of_violations_are_remembered_by_kind_and_within_bounds() -> None:
    (said,) = counting(Counts(MOST_REMEMBERED + 2)).of_pod(spec("a"), {})
    first = said.says(0, "Pod", "")
    assert said.says(0, "Pod", "") is first
    assert said.says(0, "Deployment", "spec.template.").path == "spec.template.spec.x0"
    texts = [said.says(i, "Pod", "") for i in range(MOST_REMEMBERED + 2)]
    assert [text.path for text in texts] == [f"spec.x{i}" for i in range(MOST_REMEMBERED + 2)]
    again = [said.says(i, "Pod", "") for i in range(MOST_REMEMBERED + 2)]
    assert again == texts
    same = [one is other for one, other in zip(texts, again, strict=True)]
    assert same == [True] * MOST_REMEMBERED + [False] * 2
    short = len(first.message) - len("another")
    for length, remembered in ((MOST_REMEMBERED - 1, True), (MOST_REMEMBERED, False)):
        (one,) = counting(Counts(1, "y" * (length - short))).of_pod(spec("a"), {})
        assert len(one.says(0, "Pod", "").message) == length
        assert (one.says(0, "Pod", "") is one.says(0, "Pod", "")) is remembered
