"""The words of commands and of DriftReports: every combination is one that both sides accept."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from pytest_kspec.crds.models.driftreport import DriftReportSpec
from pytest_kspec.drift import words
from pytest_kspec.drift.events import Action, DriftKind, DriftType, Status

# The enums of v0.3's definition: controllers of users read these.
FORMER = {
    "type": {"Policy", "Compliance", "Configuration"},
    "driftType": {"deleted", "modified", "violation"},
    "action": {"create", "update", "delete", "report"},
    "status": {"success", "failed", "pending", "manual-required"},
}
PRODUCT = list(itertools.product(DriftType, DriftKind, Action, Status))


@pytest.mark.parametrize("type", DriftType)
def test_every_combination_is_a_valid_report_and_comes_back(type: DriftType) -> None:
    combinations = [one for one in PRODUCT if one[0] is type]
    assert len(combinations) == 4 * 5 * 4
    for _, kind, action, status in combinations:
        event: dict[str, Any] = {
            "type": words.TYPES[type],
            "driftType": words.KINDS[kind],
            "remediation": {"action": words.ACTIONS[action], "status": words.STATUSES[status]},
        }
        DriftReportSpec.model_validate(
            {
                "clusterSpecRef": {"name": "s"},
                "clusterName": "c",
                "detectionTime": "2026-01-01T00:00:00Z",
                "driftDetected": True,
                "events": [event],
            }
        )
        assert words.type_of(event["type"]) is type
        assert words.action_of(event["remediation"]["action"]) is action
        assert words.status_of(event["remediation"]["status"]) is status


def test_what_both_have_is_the_same_word_as_in_v03() -> None:
    assert set(words.TYPES.values()) == FORMER["type"]
    assert set(words.KINDS.values()) == FORMER["driftType"] | {"added"}
    assert set(words.ACTIONS.values()) == FORMER["action"] | {"manual-required"}
    assert set(words.STATUSES.values()) == FORMER["status"]


@pytest.mark.parametrize(
    ("read", "word", "value"),
    [
        (words.type_of, "policy", DriftType.POLICY),
        (words.action_of, "skipped", Action.SKIP),
        (words.action_of, "none", Action.SKIP),
        (words.status_of, "remediated", Status.REMEDIATED),
        (words.status_of, "skipped", Status.DETECTED),
    ],
)
def test_synonyms_are_read(read: Any, word: str, value: object) -> None:
    assert read(word) is value


def test_every_word_of_a_report_is_known() -> None:
    schema = DriftReportSpec.model_json_schema(by_alias=True)["$defs"]
    event, remediation = schema["DriftEvent"]["properties"], schema["Remediation"]["properties"]
    for reads, field in (
        (words.type_of, event["type"]),
        (words.action_of, remediation["action"]),
        (words.status_of, remediation["status"]),
    ):
        for word in field["enum"]:
            assert reads(word)
    with pytest.raises(KeyError):
        words.type_of("drift")
