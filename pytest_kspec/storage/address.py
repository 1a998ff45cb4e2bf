"""Where a store is, as the user writes it; checked before a scan, and never shown with its password.

Standard library only: a wrong address is found without the database's library.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from pytest_kspec.errors import UsageError
from pytest_kspec.redaction.known import forms

HIDDEN = "***"
_SHOWN_KEYS = {
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
    "user",
}
"""Options of libpq whose values no message needs to hide; those of all others are hidden."""

_MAY_HOLD_AT = frozenset({"user", "password", "sslpassword"})
_FORMS = "Write FILE.db, sqlite:///FILE.db, or postgresql://USER@HOST/DATABASE."
_EXTRAS = {
    "sqlite": ("store", ("sqlalchemy", "alembic")),
    "postgresql": ("postgresql", ("sqlalchemy", "psycopg")),
    "s3": ("store", ("sqlalchemy", "alembic", "obstore")),
}


@dataclass(frozen=True, slots=True)
class Address:
    """A store. url: for SQLAlchemy, with its password; shown: for people, without. kind: sqlite, postgresql or s3.

    path: of SQLite's file, else ""; secrets: texts that no message may hold
    """

    kind: str
    url: str = field(repr=False)
    shown: str
    path: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return self.shown

    def redact(self, text: str) -> str:
        """The text without secrets."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text


def parse_address(text: str, *, option: str = "--kspec-store", objects: bool = False) -> Address:
    """Raises UsageError for what is no address, and where the library for it is missing. Connects to nothing.

    objects: whether it may be a place in S3
    """
    scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]+):", text)
    if scheme is None:
        address = _sqlite(text, option) if text else None
    elif scheme[1] == "sqlite" and text.startswith("sqlite:///"):
        address = _sqlite(unquote(text.removeprefix("sqlite:///")), option)
    elif scheme[1] in ("postgresql", "postgres", "postgresql+psycopg"):
        address = _postgresql(text, option)
    elif scheme[1] == "s3":
        if not objects:
            raise UsageError(
                "only 'kspec fleet' and 'kspec history' (except 'add') can use a store in S3.",
                where=option,
                fix=_FORMS,
            )
        from pytest_kspec.storage.objects import check_place

        place = check_place(text, option=option)
        address = Address("s3", place, place)
    else:
        address = None
    if address is None:
        # The text itself may hold a password.
        what = f"'{scheme[1]}:' is not the address of a store." if scheme else "no store is given."
        raise UsageError(what, where=option, fix=_FORMS)
    extra, modules = _EXTRAS[address.kind]
    if any(find_spec(module) is None for module in modules):
        raise UsageError(
            f"a store needs {' and '.join(modules)}.",
            where=option,
            fix=f"pip install 'pytest-kspec[{extra}]'",
        )
    return address


def _sqlite(path: str, option: str) -> Address:
    if not path or path == ":memory:" or "\0" in path or "?" in path:
        raise UsageError("no file is given.", where=option, fix=_FORMS)
    return Address("sqlite", f"sqlite:///{path}", path, path)


def _postgresql(text: str, option: str) -> Address:
    rest = text.partition("://")[2]
    try:
        if not rest or any(ord(letter) < 32 or ord(letter) == 127 for letter in rest):
            raise ValueError
        parts = urlsplit(f"postgresql://{rest}")
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        hosts = [_host(host) for host in parts.netloc.rpartition("@")[2].split(",")]
    except ValueError:
        # Not chained: the library's message may quote the password.
        raise UsageError("this is not a PostgreSQL address.", where=option, fix=_FORMS) from None
    stray = [parts.path, parts.fragment, *(value for key, value in query if key not in _MAY_HOLD_AT)]
    if any("@" in part for part in stray) or "#" in rest:
        # Where the password ends cannot be told, and what is taken for a host or a database would be shown.
        raise UsageError(
            "a password or another part of the address contains `/`, `?`, `#` or `@`.",
            where=option,
            fix="Write them as %2F, %3F, %23 and %40.",
        )
    if not parts.path.strip("/"):
        raise UsageError("no database is given.", where=option, fix=_FORMS)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    who = quote(user, safe="")
    secrets = [password] if password else []
    secrets += [value for key, value in query if _is_secret(key) and value]
    # Several hosts are part of the query in SQLAlchemy's addresses.
    several = [("host", f"{host}:{port or 5432}") for host, port in hosts] if len(hosts) > 1 else []
    place = "" if several else _place(*hosts[0])
    shown_place = ",".join(_place(*host) for host in hosts)
    shown = (
        f"postgresql://{who}{f':{HIDDEN}' if password else ''}{'@' if who or password else ''}{shown_place}"
    )
    shown_query = urlencode([(key, HIDDEN if _is_secret(key) else value) for key, value in query], safe="*/")
    shown += f"{parts.path}?{shown_query}" if shown_query else parts.path
    given = f"{who}:{quote(password, safe='')}" if password else who
    netloc = f"{given}@{place}" if given else place
    url = f"postgresql+psycopg://{netloc}{parts.path}"
    query += _encrypted([host for host, _ in hosts], dict(query))
    url += f"?{urlencode(query + several, quote_via=quote, safe='/:')}" if query or several else ""
    return Address("postgresql", url, shown, secrets=_forms(secrets))


def _encrypted(hosts: list[str], asked: dict[str, str]) -> list[tuple[str, str]]:
    """What lets libpq verify the server, where nobody says otherwise: it would accept any certificate, and none."""
    if (
        "sslmode" in asked
        or os.environ.get("PGSSLMODE")
        or asked.get("service")
        or os.environ.get("PGSERVICE")
    ):
        return []
    named = asked.get("hostaddr") or asked.get("host") or ",".join(hosts) or os.environ.get("PGHOST", "")
    if all(map(_is_here, named.split(","))):
        return []
    own = Path("~/.postgresql/root.crt").expanduser()
    given = "sslrootcert" in asked or os.environ.get("PGSSLROOTCERT") or own.exists()
    return [("sslmode", "verify-full"), *([] if given else [("sslrootcert", "system")])]


def _is_here(host: str) -> bool:
    """A socket of this machine, or loopback."""
    host = (
        host.strip("[]") if host.startswith("[") else host.partition(":")[0] if host.count(":") == 1 else host
    )
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _host(text: str) -> tuple[str, int | None]:
    """Name or address without brackets, and port. Raises ValueError."""
    parts = urlsplit(f"//{text}")
    if parts.netloc != text:
        raise ValueError
    return parts.hostname or "", parts.port


def _place(host: str, port: int | None) -> str:
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port else host


def _is_secret(key: str) -> bool:
    return key not in _SHOWN_KEYS


def _forms(secrets: list[str]) -> tuple[str, ...]:
    """Each in the forms in which libraries print it, the longest first."""
    found = set()
    for secret in secrets:
        found |= forms(secret)
    return tuple(sorted(found, key=lambda form: (-len(form), form)))
