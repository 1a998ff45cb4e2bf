"""Points in time in specifications: expiry dates in a time zone, daily times, zone names.

An expiry written as a date means the end of that day in its zone, because that is what people mean by "until
March 31".
"""

import difflib
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Annotated, Any, Self

from pytest_kspec.regexes import regex
from pytest_kspec.spec.declared import AfterValidator, BeforeValidator, Field, SpecModel, model_validator

_EXPIRY = regex(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(\d*)([Zz]|[+-]\d\d:\d\d)?)?")
_MOMENT = (  # the same for JSON Schema and Go, with clock times that there are
    r"^\d{4}-\d\d-\d\d([Tt ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)?)?$"
)
_DAY_TIME = regex(r"([01]\d|2[0-3]):[0-5]\d")
_END_OF_DAY = time(23, 59, 59, 999999)
_LONGEST = timedelta(days=366)


# Files beside those of IANA: what the machine is set to, and other forms of the same zones.
_NO_ZONES = ("localtime", "posixrules", "posix/", "right/")


def zone(name: str) -> tzinfo:
    """The IANA time zone. Raises ValueError, with a suggestion."""
    if name == "UTC":
        return UTC
    import zoneinfo

    try:
        if name.startswith(_NO_ZONES):
            raise ValueError
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        known = {one.lower(): one for one in zoneinfo.available_timezones() if not one.startswith(_NO_ZONES)}
        wanted = name.lower().removeprefix("/usr/share/zoneinfo/")
        near = difflib.get_close_matches(wanted, known, 1)
        hint = f" Did you mean {known[near[0]]!r}?" if near else ""
        raise ValueError(f"{name!r} is not an IANA time zone such as Europe/Berlin.{hint}") from error


def _zone_name(value: str) -> str:
    zone(value)
    return value


def _expiry_text(value: Any) -> Any:
    # Data that did not come through our own YAML reader may hold real dates.
    return value.isoformat() if isinstance(value, date) else value


def _expiry(value: str) -> str:
    try:
        if not _EXPIRY.fullmatch(value):
            raise ValueError
        parse_moment(value)
    except ValueError:
        raise ValueError(
            f"{value!r} is not a date; write 2027-03-31, 2027-03-31T18:00:00 or 2027-03-31T18:00:00+02:00."
        ) from None
    return value


def parse_moment(value: str) -> datetime | date:
    """Text of a date or a date-time. Raises ValueError."""
    if len(value) == len("2027-03-31"):
        return date.fromisoformat(value)
    return datetime.fromisoformat(value.upper().replace(" ", "T"))


def _day_time(value: str) -> str:
    if not _DAY_TIME.fullmatch(value):
        hint = f" Did you mean '0{value}'?" if _DAY_TIME.fullmatch("0" + value) else ""
        raise ValueError(f"{value!r} is not a time of day; write HH:MM from 00:00 to 23:59.{hint}")
    return value


TimeZone = Annotated[str, AfterValidator(_zone_name)]
DayTime = Annotated[
    str, Field(json_schema_extra={"pattern": f"^{_DAY_TIME.pattern}$"}), AfterValidator(_day_time)
]
Moment = Annotated[
    str,
    Field(json_schema_extra={"pattern": _MOMENT}),
    BeforeValidator(_expiry_text),
    AfterValidator(_expiry),
]


class Expiring(SpecModel):
    """Something with an end: `expiresAt` and the zone that it is meant in."""

    expires_at: Moment | None = Field(
        None,
        description="Last day (2027-03-31, inclusive) or time (2027-03-31T18:00:00Z) at which the exemption ends.",
    )
    timezone: TimeZone | None = Field(
        None, description="IANA time zone of expiresAt, if it has no UTC offset. Default: UTC."
    )

    @model_validator(mode="after")
    def _one_zone(self) -> Self:
        if self.timezone is not None:
            if self.expires_at is None:
                raise ValueError("timezone has no effect without expiresAt.")
            moment = parse_moment(self.expires_at)
            if isinstance(moment, datetime) and moment.tzinfo is not None:
                raise ValueError("expiresAt has a UTC offset, so timezone has no effect: remove one of them.")
        return self

    @property
    def expires(self) -> datetime | None:
        """The moment after which it is no longer valid, aware; None: never."""
        if self.expires_at is None:
            return None
        moment = parse_moment(self.expires_at)
        here = zone(self.timezone or "UTC")
        if not isinstance(moment, datetime):
            return datetime.combine(moment, _END_OF_DAY, here)
        return moment if moment.tzinfo else moment.replace(tzinfo=here)

    @property
    def expires_text(self) -> str:
        """RFC 3339 text with seconds, or ""."""
        expires = self.expires
        return expires.isoformat(timespec="seconds") if expires else ""

    def is_expired(self, now: datetime) -> bool:
        """Whether it was valid once and is not any more. `now` must be aware."""
        expires = self.expires
        return expires is not None and now >= expires


def _cron(value: str) -> str:
    cron(value)
    return value


def _duration(value: str) -> str:
    duration(value)
    return value


Schedule = Annotated[str, AfterValidator(_cron)]


Duration = Annotated[
    str,
    Field(
        json_schema_extra={
            "pattern": r"^(\d{1,3}d)?(\d{1,4}h)?(\d{1,5}m)?$",
            "not": {"pattern": "^(0+d)?(0+h)?(0+m)?$"},
        }
    ),
    AfterValidator(_duration),
]


_DURATION = regex(r"(?=\d)(?:(\d{1,3})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?")


_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@lru_cache(maxsize=256)
def cron(schedule: str) -> str:
    """The five fields of a cron schedule; `@daily` and the like are written out. Raises ValueError."""
    if schedule.startswith("@"):
        expression = _MACROS.get(schedule.lower())
        if expression is None:
            raise ValueError(f"{schedule!r} is not a cron schedule; known: {', '.join(sorted(_MACROS))}.")
        return expression
    fields = schedule.split()
    if len(fields) != 5:
        raise ValueError(f"{schedule!r} is not a cron schedule: it has {len(fields)} fields instead of 5.")
    from cronsim import CronSim, CronSimError

    try:
        next(CronSim(schedule, datetime(2024, 1, 1)))
    except CronSimError as error:
        raise ValueError(f"{schedule!r} is not a cron schedule: {str(error).lower()}.") from error
    except StopIteration:
        raise ValueError(f"{schedule!r} never fires.") from None
    return " ".join(fields)


@lru_cache(maxsize=256)
def duration(text: str) -> timedelta:
    """`90m`, `8h`, `1d12h`: time that passes. Raises ValueError."""
    found = _DURATION.fullmatch(text)
    lasting = timedelta(0)
    if found:
        days, hours, minutes = (int(part or 0) for part in found.groups())
        lasting = timedelta(days=days, hours=hours, minutes=minutes)
    if not lasting:
        raise ValueError(
            f"{text!r} is not a duration; write days, hours and minutes such as 8h, 90m or 1d12h."
        )
    if lasting > _LONGEST:
        raise ValueError(f"{text!r} is longer than a year.")
    return lasting
