"""Addresses of stores: what is accepted, and that no password is ever shown."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, make_url

from pytest_kspec.errors import StoreError, UsageError
from pytest_kspec.storage.address import parse_address
from pytest_kspec.storage.engine import open_store
from pytest_kspec.storage.objects import check_place
from tests.effort import examples

from .servers import PASSWORD, Postgres


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
        (
            "postgresql://u:p@ss@w%3Ard@h/d",
            "postgresql",
            "postgresql+psycopg://u:p%40ss%40w%3Ard@h/d",
            "postgresql://u:***@h/d",
        ),
        (
            "postgresql://u:a:b%@h1:5,h2/d?sslmode=require",
            "postgresql",
            "postgresql+psycopg://u:a%3Ab%25@/d?sslmode=require&host=h1:5&host=h2:5432",
            "postgresql://u:***@h1:5,h2/d?sslmode=require",
        ),
        (
            "postgresql://:pa%2Fss@h/d",
            "postgresql",
            "postgresql+psycopg://:pa%2Fss@h/d",
            "postgresql://:***@h/d",
        ),
        (
            "postgresql:///d?host=/run/postgresql&user=me@there&password=hunter2@x&options=-c%20a%3Dhunter3",
            "postgresql",
            "postgresql+psycopg:///d?host=/run/postgresql&user=me%40there&password=hunter2%40x"
            "&options=-c%20a%3Dhunter3",
            "postgresql:///d?host=/run/postgresql&user=me%40there&password=***&options=***",
        ),
        (
            "postgresql://h/d?PassWord=hunter2&oauth_client_secret=hunter3",
            "postgresql",
            "postgresql+psycopg://h/d?PassWord=hunter2&oauth_client_secret=hunter3",
            "postgresql://h/d?PassWord=***&oauth_client_secret=***",
        ),
    ],
)
def test_what_is_an_address(
    text: str, kind: str, url: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLMODE", "prefer")
    found = parse_address(text)
    assert (found.kind, found.url, found.shown, str(found)) == (kind, url, shown, shown)
    for secret in ("hunter2", "hunter3", "pa%2Fss", "pa/ss"):
        assert secret not in repr(found)


def test_secrets_are_taken_out_of_messages() -> None:
    found = parse_address("postgresql://u:pa%2Fss@h/d?password=hunter2")
    assert found.redact("pa/ss pa%2Fss hunter2 else") == "*** *** *** else"
    found = parse_address("postgresql://u:a'\\b c%25@h/d")
    for form in ("a'\\b c%", "a%27%5Cb%20c%25", "a%27%5Cb+c%25", repr("a'\\b c%")):
        assert found.redact(f"x {form} y").strip('x y"') == "***"


REFUSALS = {
    "--kspec-store: this is not a PostgreSQL address. "
    "Write FILE.db, sqlite:///FILE.db, or postgresql://USER@HOST/DATABASE.",
    "--kspec-store: no database is given. "
    "Write FILE.db, sqlite:///FILE.db, or postgresql://USER@HOST/DATABASE.",
    "--kspec-store: a password or another part of the address contains `/`, `?`, `#` or `@`. "
    "Write them as %2F, %3F, %23 and %40.",
}


@settings(max_examples=examples(300))
@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=4, max_size=12), st.booleans())
def test_a_password_is_honoured_or_refused_and_never_shown(password: str, encoded: bool) -> None:
    """As it is, or with everything odd in it encoded: what SQLAlchemy then gives to psycopg is the password."""
    written = quote(password, safe="") if encoded else password
    text = f"postgresql://user:{written}@host.example:5433/base?sslmode=require"
    if not encoded and set(password) & set("/?#[]"):
        with pytest.raises(UsageError) as raised:
            parse_address(text)
        assert str(raised.value) in REFUSALS  # which hold nothing of it
        assert raised.value.__cause__ is None
        return
    found = parse_address(text)
    assert found.shown == "postgresql://user:***@host.example:5433/base?sslmode=require"
    _, told = create_engine(found.url).dialect.create_connect_args(make_url(found.url))
    assert {**told, "context": None} == {
        "context": None,
        "host": "host.example",
        "dbname": "base",
        "user": "user",
        "password": unquote(password) if not encoded else password,
        "port": 5433,
        "sslmode": "require",
    }


@pytest.mark.parametrize(
    ("address", "added"),
    [
        ("postgresql://db.example/d", {"sslmode": "verify-full", "sslrootcert": "system"}),
        ("postgresql://10.0.0.7/d", {"sslmode": "verify-full", "sslrootcert": "system"}),
        ("postgresql://127.0.0.1.example/d", {"sslmode": "verify-full", "sslrootcert": "system"}),
        ("postgresql://localhost,db.example/d", {"sslmode": "verify-full", "sslrootcert": "system"}),
        ("postgresql:///d?host=db.example", {"sslmode": "verify-full", "sslrootcert": "system"}),
        ("postgresql://db.example/d?sslrootcert=ca.pem", {"sslmode": "verify-full", "sslrootcert": "ca.pem"}),
        ("postgresql://db.example/d?sslmode=disable", {"sslmode": "disable"}),
        ("postgresql://127.0.0.1:5432/d", {}),
        ("postgresql://[::1]:5432/d", {}),
        ("postgresql://localhost/d", {}),
        ("postgresql:///d?host=/run/postgresql", {}),
        ("postgresql:///d", {}),
    ],
)
def test_a_server_elsewhere_is_verified(
    address: str, added: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("PGSSLMODE", "PGHOST", "PGSSLROOTCERT", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = parse_address(address)
    query = {key: value for key, value in make_url(found.url).query.items() if key.startswith("ssl")}
    assert query == added
    if not address.startswith("postgresql:///"):
        monkeypatch.setenv("PGSSLMODE", "require")
        assert "verify-full" not in parse_address(address).url
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").touch()
    monkeypatch.delenv("PGSSLMODE", raising=False)
    assert "sslrootcert=system" not in parse_address(address).url


def test_a_server_without_a_certificate_is_not_spoken_to(postgres: Postgres) -> None:
    """As one elsewhere is asked; the message says what to do."""
    address = f"{postgres.database('tls')}?sslmode=verify-full&sslrootcert=system"
    with pytest.raises(StoreError, match="SSL") as raised:
        open_store(address, create=True)
    assert "?sslrootcert=FILE" in str(raised.value)
    assert quote(PASSWORD, safe="") not in str(raised.value)


def test_several_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "prefer")
    found = parse_address("postgresql://u:p%40@h1:5433,h2/d")
    _, told = create_engine(found.url).dialect.create_connect_args(make_url(found.url))
    del told["context"]
    assert told == {"host": "h1,h2", "port": "5433,5432", "user": "u", "password": "p@", "dbname": "d"}


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
        "postgresql://u:hunt/er2@h/d",
        "postgresql://u:5/hunter2@h/d",
        "postgresql://u:5?hunter2@h/d",
        "postgresql://u:5#hunter2@h/d",
        "postgresql://u:a@b/hunter2@h/d",
        "postgresql://u:a@b/c?x=hunter2@h/d",
        "postgresql://u:a@b/c#hunter2@h/d",
        "postgresql://u:hunter2@h/d#x",
        "postgresql://u:hunt\ner2@h/d",
        "postgresql://u:hunter2@h:1,h:x/d",
        "postgresql://u:hunter2@h:99999/d",
        "postgresql:u:hunter2@h/d",
        "postgresql:/u:hunter2@h/d",
        "POSTGRESQL://u:hunter2@h/d",
        "postgresql+psycopg2://u:hunter2@h/d",
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
