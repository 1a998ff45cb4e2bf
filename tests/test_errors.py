"""Messages of errors hold no credentials, whoever says them."""

from __future__ import annotations

import copy
import pickle

import pytest

from pytest_kspec.errors import (
    CheckError,
    EvidenceError,
    KspecError,
    NotApplicable,
    ReportError,
    SourceError,
    SpecError,
    StoreError,
    UsageError,
)

KINDS = (
    KspecError, UsageError, SpecError, CheckError, SourceError, NotApplicable, EvidenceError, ReportError, StoreError,
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_no_part_of_an_error_shows_one(kind: type[KspecError]) -> None:
    error = kind(
        "no answer from https://bob:hunter2@h/x: token=hunter2.",
        where="https://bob:hunter2@h",
        fix="Give --password hunter2.",
    )
    for made in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert "hunter2" not in str(made)
        assert str(made).count("(redacted)") == 4


def test_nor_do_the_problems_of_a_specification() -> None:
    problems = (
        "spec.yaml:3:9: spec.x: 'https://bob:hunter2@h' is no host name.",
        "spec.yaml:4:9: spec.password: unknown key.",
    )
    error = SpecError("", problems=problems)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(error).splitlines() == [
        "spec.yaml:3:9: spec.x: 'https://bob:(redacted)@h' is no host name.",
        "spec.yaml:4:9: spec.password: unknown key.",
    ]
