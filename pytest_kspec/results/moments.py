"""Times in results: RFC 3339 with a zone, and nothing else of ISO 8601, which few read."""

from __future__ import annotations

from datetime import UTC, datetime

from pytest_kspec.regexes import regex

_RFC_3339 = regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})")
_EARLIEST = 1970


def moment(value: object) -> datetime | None:
    """An RFC 3339 time in UTC, from 1970 on; None for anything else."""
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        return None
    try:
        found = datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):  # the last of its kind, in a zone that has it a day later
        return None
    return found if found.year >= _EARLIEST else None
