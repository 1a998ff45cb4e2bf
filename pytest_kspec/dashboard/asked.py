"""What a request asks for: the query string as checked values, the same for pages and for the API."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from pytest_kspec.reports.shared.words import STATES
from pytest_kspec.results.observation import State
from pytest_kspec.results.order import WORST_SEVERITIES_FIRST, WORST_VERDICTS_FIRST
from pytest_kspec.storage.cut import MOST_ROWS, Cut
from pytest_kspec.storage.listing import ORDERS

LONGEST = 256
"""Characters of a value."""
MOST_PAGES = 100_000
MOST_DAYS = 3650


class BadRequest(Exception):
    """The query cannot be right; the text says why, for whoever asked."""


class Asked(NamedTuple):
    """Filters and page; "" is no filter. Which of them a list has, `lists.LISTS` says."""

    q: str = ""
    cluster: str = ""
    spec: str = ""
    check: str = ""
    framework: str = ""
    id: str = ""
    severity: str = ""
    state: str = ""
    verdict: str = ""
    namespace: str = ""
    order: str = ""
    days: int = 90
    page: int = 1
    size: int = 100

    @property
    def cut(self) -> Cut:
        """The page."""
        return Cut(self.page, self.size)

    def since(self, now: datetime) -> str:
        """The beginning of the first of `days` days, RFC 3339 in UTC. The same all day."""
        first = now.astimezone(UTC).date() - timedelta(days=self.days - 1)
        return f"{first.isoformat()}T00:00:00Z"

    def query(self, **changes: str | int) -> str:
        """The query string of the same with changes, without what has its default; "" or `?…`."""
        new = self._replace(**changes)  # type: ignore[arg-type]  # names are checked by _replace
        given = {name: value for name, value in new._asdict().items() if value != _DEFAULTS[name]}
        return f"?{urlencode(given)}" if given else ""


_DEFAULTS = Asked()._asdict()

CHOICES: dict[str, tuple[str, ...]] = {
    "severity": tuple(severity.value for severity in WORST_SEVERITIES_FIRST),
    "verdict": tuple(verdict.value for verdict in WORST_VERDICTS_FIRST),
    "order": ORDERS,
}
STATES_OF: dict[str, tuple[str, ...]] = {
    "results": tuple(STATES),
    "findings": tuple(State),
    "exemptions": ("used", "expired", "unused"),
    "drift": ("present", "cleared"),
}
"""What `state` may be, by list."""
NUMBERS = {"page": MOST_PAGES, "size": MOST_ROWS, "days": MOST_DAYS}
"""Numbers from 1, and the largest."""


def parse(pairs: Iterable[tuple[str, str]], names: Iterable[str], states: str = "", *, strict: bool) -> Asked:
    """The filters that a list has. names: of its parameters; states: a key of STATES_OF.

    strict: another name is an error, for programs; a page of an older bookmark leaves it out.
    Raises BadRequest.
    """
    allowed = {*names, "page", "size"}
    found: dict[str, str | int] = {}
    for name, text in pairs:
        if name not in allowed:
            if strict:
                raise BadRequest(f"unknown parameter '{name}'; there are {', '.join(sorted(allowed))}.")
            continue
        if name in found:
            raise BadRequest(f"'{name}' is given twice.")
        found[name] = _READ.get(name, _text)(name, text)
    if "state" in found:
        _choose("state", str(found["state"]), STATES_OF[states])
    return Asked(**found)  # type: ignore[arg-type]  # each is of the type that its reader gives


def _text(name: str, value: str) -> str:
    if len(value) > LONGEST:
        raise BadRequest(f"'{name}' has more than {LONGEST} characters.")
    if "\0" in value:
        raise BadRequest(f"'{name}' contains a NUL character.")
    return value


def _choose(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value and value not in choices:
        raise BadRequest(f"'{name}' must be one of {', '.join(choices)}.")
    return value


def _choice(name: str, value: str) -> str:
    return _choose(name, _text(name, value), CHOICES[name])


def _number(name: str, value: str) -> int:
    most = NUMBERS[name]
    if not (value.isascii() and value.isdigit() and len(value) <= 6 and 1 <= int(value) <= most):
        raise BadRequest(f"'{name}' must be a number from 1 to {most:,}.")
    return int(value)


_READ: dict[str, Callable[[str, str], str | int]] = {
    **dict.fromkeys(CHOICES, _choice),
    **dict.fromkeys(NUMBERS, _number),
}
