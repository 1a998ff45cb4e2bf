"""Addresses of stores: what is accepted, and that no password is ever shown."""

from __future__ import annotations

import pytest

from pytest_kspec.errors import UsageError
from pytest_kspec.storage.address import parse_address
from pytest_kspec.storage.objects import check_place


@pytest.mark.parametrize(
    ("text", "kind", "url", "shown"),
    [
        ("results.db", "sqlite", "sqlite:///results.db", "results.db"),
        ("/var/lib/x y/r.db", "sqlite", "sqlite:////var/lib/x y/r.db", "/var/lib/x y/r.db"),
        ("sqlite:///r.db", "sqlite", "sqlite:///r.db", "r.db"),
        ("sqlite:////abs/r.db", "sqlite", "sqlite:////abs/r.db", "/abs/r.db"),
        ("postgresql://h/d", "postgresql", "postgresql+psycopg://h/d", "postgresql://h/d"),
        (
            "postgres://u:pa%2Fss@h:5433/d?sslmode=require",
            "postgresql",
            "postgresql+psycopg://u:pa%2Fss@h:5433/d?sslmode=require",
            "postgresql://u:***@h:5433/d?sslmode=require",
        ),
        (
            "postgresql://u@h/d?password=hunter2&sslpassword=hunter3",
            "postgresql",
            "postgresql+psycopg://u@h/d?password=hunter2&sslpassword=hunter3",
            "postgresql://u@h/d?password=***&sslpassword=***",
        ),
        (
            "postgresql://u:p@[::1]:5/d",
            "postgresql",
            "postgresql+psycopg://u:p@[::1]:5/d",
            "postgresql://u:***@[::1]:5/d",
        ),
    ],
)
def test_what_is_an_address(text: str, kind: str, url: str, shown: str) -> None:
    found = parse_address(text)
    assert (found.kind, found.url, found.shown, str(found)) == (kind, url, shown, shown)
    for secret in ("hunter2", "hunter3", "pa%2Fss", "pa/ss"):
        assert secret not in repr(found)


def test_secrets_are_taken_out_of_messages() -> None:
    found = parse_address("postgresql://u:pa%2Fss@h/d?password=hunter2")
    assert found.redact("pa/ss pa%2Fss hunter2 else") == "*** *** *** else"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sqlite://",
        "sqlite:///",
        ":memory:",
        "sqlite:///:memory:",
        "mysql://u:hunter2@h/d",
        "postgresql://u:hunter2@h",
        "postgresql://u:hunter2@h:port/d",
        "postgresql://u:hunter2@h/d?=&&",
        "postgresql://u:hunter2@[h/d",
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_address(text, option="--store")
    assert str(raised.value).startswith("--store: ")
    assert "hunter2" not in str(raised.value)
    assert "hunter2" not in repr(raised.value.__cause__)


@pytest.mark.parametrize(
    "place", ["s3://", "s3://key:hunter2@bucket/x", "gs://bucket", "s3://b/x?secret=hunter2"]
)
def test_places_that_are_none(place: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_place(place)
    assert "hunter2" not in str(raised.value)
    assert check_place("s3://bucket/a/b/") == "s3://bucket/a/b"
    assert check_place("reports").startswith("/")
