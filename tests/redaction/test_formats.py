"""Every format that detect-secrets knows is taken out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.base import RegexBasedDetector
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_kspec.redaction.text import redact

# Addresses are none; these three want the name of a service before a password, and such names are a matter of `names`.
OTHERS = {
    "Public IP (ipv4)",
    "Cloudant Credentials",
    "IBM Cloud IAM Key",
    "SoftLayer Credentials",
    "Secret Keyword",
}
# The first part of a format decides; a JWT must be one to be found, an npm token is one by its assignment.
NOT_GENERATED = {"JSON Web Token", "NPM tokens", "Basic Auth Credentials"}
NAMED = next(pattern.pattern for pattern in AWSKeyDetector.denylist if "password" in pattern.pattern)


def detectors() -> Iterator[tuple[str, re.Pattern[str]]]:
    kinds: dict[str, Any] = get_mapping_from_secret_type_to_class()
    for name, kind in sorted(kinds.items()):
        if name not in OTHERS | NOT_GENERATED and issubclass(kind, RegexBasedDetector):
            yield from ((name, pattern) for pattern in kind().denylist if pattern.pattern != NAMED)


FOUND = list(detectors())


def test_there_are_detectors() -> None:
    assert len(FOUND) > 25


@pytest.mark.parametrize(("name", "pattern"), FOUND, ids=[f"{name}-{i}" for i, (name, _) in enumerate(FOUND)])
@settings(max_examples=10, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_what_it_finds_is_taken_out(name: str, pattern: re.Pattern[str], data: st.DataObject) -> None:
    secret = data.draw(st.from_regex(pattern, fullmatch=True, alphabet=st.characters(codec="ascii")))
    assert secret.strip() not in redact(f"x {secret} y")
