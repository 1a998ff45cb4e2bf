"""`kspec enforce --engine kyverno` with Kyverno there: it takes all that is generated, and says what is in force."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kspec.enforce import seen
from pytest_kspec.enforce.engines import kyverno
from pytest_kspec.reference.asked import everything
from tests.kyverno.test_kyverno_live import kspec
from tests.parity.admission import PATHS
from tests.parity.objects import CANARIES

DENIES_S = 300.0
"""Here something denies: Kyverno, once it has compiled the policies."""

__all__ = ["kspec", "test_applied_in_force_and_removed"]


@pytest.mark.parametrize("mode", ["audit", "enforce"])
@pytest.mark.parametrize("level", ["restricted", "baseline"])
@pytest.mark.parametrize("api", kyverno.APIS)
def test_applied_in_force_and_removed(
    plane: Any, kspec: Any, monkeypatch: pytest.MonkeyPatch, api: Any, level: str, mode: Any
) -> None:
    monkeypatch.setattr(seen, "PATIENCE_S", DENIES_S)
    whole = everything()[("restricted", "baseline").index(level)]
    spec = whole.model_dump(by_alias=True, exclude_unset=True)
    path = f"{PATHS['Pod'].format('default')}?dryRun=All"
    try:
        code, _, err = kspec(plane, spec, "--mode", mode, "--kyverno-api", api)
        assert code == 0, err
        code, out, _ = kspec(plane, spec, "--status", "--kyverno-api", api)
        assert code == 0, out
        assert out.count(f": {mode}\n") == len(CANARIES), out
        answer = plane.request("POST", path, CANARIES["pods"] | {"metadata": {"name": "p"}})
        assert answer.status == (403 if mode == "enforce" else 201), answer
    finally:
        kspec(plane, spec, "--remove")
    code, out, _ = kspec(plane, spec, "--status")
    assert (code, "nothing is in force" in out) == (1, True)
