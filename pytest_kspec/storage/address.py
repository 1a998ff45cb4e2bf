"""Where a store is, as the user writes it; checked before a scan, and never shown with its password.

Standard library only: a wrong address is found without the database's library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from pytest_kspec.errors import UsageError

HIDDEN = "***"
_SECRET_KEYS = frozenset({"password", "sslpassword"})
_FORMS = "Write FILE.db, sqlite:///FILE.db, or postgresql://USER@HOST/DATABASE."
_EXTRAS = {
    "sqlite": ("store", ("sqlalchemy", "alembic")),
    "postgresql": ("postgresql", ("sqlalchemy", "psycopg")),
}


@dataclass(frozen=True, slots=True)
class Address:
    """A store. url: for SQLAlchemy, with its password; shown: for people, without. kind: sqlite or postgresql.

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


def parse_address(text: str, *, option: str = "--kspec-store") -> Address:
    """Raises UsageError for what is no address, and where the library for it is missing. Connects to nothing."""
    scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]+):", text)
    if scheme is None:
        address = _sqlite(text, option) if text else None
    elif scheme[1] == "sqlite" and text.startswith("sqlite:///"):
        address = _sqlite(unquote(text.removeprefix("sqlite:///")), option)
    elif scheme[1] in ("postgresql", "postgres", "postgresql+psycopg"):
        address = _postgresql(text, option)
    else:
        address = None
    if address is None:
        # The text itself may hold a password.
        what = f"'{scheme[1]}:' is not the address of a store." if scheme else "no store is named."
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
        raise UsageError("no file is named.", where=option, fix=_FORMS)
    return Address("sqlite", f"sqlite:///{path}", path, path)


def _postgresql(text: str, option: str) -> Address:
    try:
        parts = urlsplit(text)
        port = parts.port
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        # Not chained: the library's message may quote the password.
        raise UsageError("this is no address of PostgreSQL.", where=option, fix=_FORMS) from None
    if not parts.path.strip("/"):
        raise UsageError("no database is named.", where=option, fix=_FORMS)
    secrets = [unquote(parts.password)] if parts.password else []
    secrets += [value for key, value in query if key in _SECRET_KEYS and value]
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    place = f"{host}:{port}" if port else host
    user = f"{quote(unquote(parts.username), safe='')}" if parts.username else ""
    hidden = f"{user}:{HIDDEN}" if parts.password else user
    shown_query = urlencode([(k, HIDDEN if k in _SECRET_KEYS else v) for k, v in query], safe="*/")
    shown = urlunsplit(("postgresql", f"{hidden}@{place}" if hidden else place, parts.path, shown_query, ""))
    url = urlunsplit(("postgresql+psycopg", parts.netloc, parts.path, parts.query, ""))
    also = {form for secret in secrets for form in (secret, quote(secret, safe=""))}
    return Address("postgresql", url, shown, secrets=tuple(sorted(also, key=len, reverse=True)))
