"""Values for fields: typed as the field is, or refused; amounts as the API server reads them."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.kube.fieldvalues import problems, readable, typed
from pytest_kspec.kube.podfields import PodField, pod_field
from pytest_kspec.kube.quantity import parse_quantity, plain


def known(key: str) -> PodField:
    field = pod_field(key)
    assert field is not None, key
    return field


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("hostNetwork", True, ""),
        ("hostNetwork", "true", ""),
        ("hostNetwork", "yes", "hostNetwork is a boolean: true or false, not 'yes'"),
        ("securityContext.runAsUser", 1000, ""),
        ("securityContext.runAsUser", "1000", ""),
        ("securityContext.runAsUser", True, "securityContext.runAsUser is an integer, not 'True'"),
        ("securityContext.runAsUser", "root", "securityContext.runAsUser is an integer, not 'root'"),
        ("resources.limits.memory", "1Gi", ""),
        ("resources.limits.cpu", 2, ""),
        (
            "resources.limits.memory",
            "1GB",
            "resources.limits.memory is a quantity such as 500m or 1Gi, not '1GB'",
        ),
        ("securityContext.capabilities.drop", ["ALL"], ""),
        ("securityContext.capabilities.drop", "ALL", ""),
        ("imagePullPolicy", ["Always", "IfNotPresent"], ""),
        ("imagePullPolicy", [], "an empty list has no effect; add a value or use `exists`"),
        (
            "livenessProbe",
            "x",
            "livenessProbe does not have a single value; name a field of it, or use `exists`",
        ),
        ("hostNetwork", {"a": 1}, "hostNetwork takes a bool, not {'a': 1}"),
    ],
)
def test_values_are_checked_against_the_type(key: str, value: Any, problem: str) -> None:
    found = [text for _, text in problems(known(key), {"value": value}, required=True)]
    assert found == ([problem] if problem else [])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1h30m", 5400), ("2h0m1s", 7201), ("60", 60), ("-5", -5)],
)
def test_durations_are_seconds(text: str, seconds: int) -> None:
    assert typed("int", text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5m5", "m", "1.5h", "5m1h", "5 m", "5d", "-5m", "٥m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    field = known("terminationGracePeriodSeconds")
    found = [*problems(field, {"max": text}, required=True)]
    assert bool(found) is (text != "5")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1Gi", "1073741824"),
        ("1.5Gi", "1610612736"),
        ("9Ei", "9223372036854775807"),
        ("-9Ei", "-9223372036854775807"),
        ("123456789012345678901234567890Ki", "9223372036854775807"),
        ("9E", "9000000000000000000"),
        ("1e30", "1000000000000000000000000000000"),
        ("0.1n", "0.000000001"),
        ("-1e-12", "-0.000000001"),
        ("5.", "5"),
        (".5", "0.5"),
        ("+5", "5"),
    ],
)
def test_amounts(text: str, value: str) -> None:
    assert parse_quantity(text) == Decimal(value)


@given(
    st.from_regex(r"[+-]?[0-9]{1,30}(\.[0-9]{0,30})?", fullmatch=True),
    st.sampled_from(["", "n", "u", "m", "k", "M", "E", "Ki", "Mi", "Ei", "e3", "E-9", "e+30"]),
)
def test_amounts_are_written_as_they_are_read(number: int, suffix: Any) -> None:
    value = parse_quantity(number + suffix)
    assert Decimal(plain(value)) == value


def test_what_the_model_refuses_is_left_to_it() -> None:
    written = {
        "key": "a",
        "value": {"a": 1},
        "min": True,
        "max": [],
        "allowed": "x",
        "anyOf": [1, {"value": [{}]}],
    }
    assert readable(written) == {"key": "a", "allowed": "x", "anyOf": [{}, {}]}
