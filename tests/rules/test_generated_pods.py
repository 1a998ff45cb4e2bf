"""Properties of the Pod Security rules over generated pods, right and wrong ones."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kspec.errors import Malformed
from pytest_kspec.rules.pods.podsecurity import NEWEST_MINOR
from tests.effort import examples
from tests.rules.pod_security import CONTROLS, shape, violations
from tests.rules.pods import places, pods, wrong_pods

MINORS = st.integers(0, NEWEST_MINOR)
LEVEL = st.sampled_from(["baseline", "restricted"])
COMMON = settings(max_examples=examples(200))


@COMMON
@given(pods(), MINORS)
def test_restricted_refuses_all_that_baseline_refuses(pod: dict[str, Any], minor: Any) -> None:
    if violations(shape(pod), "baseline", minor):
        assert violations(shape(pod), "restricted", minor)


@COMMON
@given(pods(), LEVEL, MINORS)
def test_violations_point_into_the_pod_and_nothing_is_changed(
    pod: dict[str, Any], level: str, minor: Any
) -> None:
    before = copy.deepcopy(pod)
    found = violations(shape(pod), level, minor)

    assert pod == before
    for violation in (violation for listed in found.values() for violation in listed):
        assert violation.path.startswith(("spec.", "metadata.annotations["))
        assert violation.container in violation.path
        assert violation.expected
        hash(violation.path)


@COMMON
@given(pods(), LEVEL, MINORS)
def test_null_is_unset(pod: dict[str, Any], level: str, minor: Any) -> None:
    found = violations(shape(pod), level, minor)
    for path in places(pod["spec"]):
        holder = pod["spec"]
        for key in path[:-1]:
            holder = holder[key] if holder is not None else None
        if isinstance(holder, dict) and path and holder.get(path[-1], 0) is None:
            del holder[path[-1]]

    assert violations(shape(pod), level, minor) == found


@COMMON
@given(wrong_pods(), LEVEL, MINORS)
def test_wrong_types_are_malformed_and_nothing_else(pod: dict[str, Any], level: str, minor: Any) -> None:
    for control in CONTROLS.values():
        rule = control.rule_for(level, minor)
        if rule is not None:
            with suppress(Malformed):
                list(rule.evaluate(shape(pod)))
