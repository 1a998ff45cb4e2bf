"""What is said of a specification that is refused: one line a problem."""

from __future__ import annotations

import pytest

from pytest_kspec.errors import SpecError
from pytest_kspec.spec.loading import spec_from_part, spec_from_text

HEADER = "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\nmetadata: {name: a, version: 1.0.0}\n"


def problems(text: str) -> list[str]:
    """Of a whole file."""
    with pytest.raises(SpecError) as caught:
        spec_from_text(text, "prod.yaml")
    error = caught.value
    return list(error.problems) or str(error).splitlines()


def part_problems(text: str) -> list[str]:
    """Of what stands under `spec`."""
    with pytest.raises(SpecError) as caught:
        spec_from_part(text, path="s.yaml")
    return list(caught.value.problems) or str(caught.value).splitlines()


def exemption_problems(keys: str) -> list[str]:
    """Of an exemption with these keys beside name and reason."""
    return part_problems(f"policyExemptions:\n- {{name: a, reason: r, {keys}}}\n")
