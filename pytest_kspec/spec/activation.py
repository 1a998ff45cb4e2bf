"""When a specification is active: one answer for scan, webhook and generated policies.

An activation is a union of periods. Each starts at its start and lasts until just before its end. Periods come from
`activePeriods` (times of day, days, dates) and from a cron `schedule`, of which each firing starts one of `duration`.

Clocks that change: a local time that does not exist (clocks go forward) is the moment of the change. Of one that exists
twice (clocks go back) a period starts at the first and ends at the second: it is never shorter than the clock shows.
A cron schedule fires as Debian's cron does (`cronsim`): at a fixed time once, moved to the moment of the change if it
does not exist; with `*` hours or minutes in every real hour or minute. `duration` is time that passes, not the clock's.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal, Protocol

from pytest_kspec.spec.base import Flag
from pytest_kspec.spec.declared import Field, SpecModel, model_validator
from pytest_kspec.spec.times import (
    DayTime,
    Duration,
    Moment,
    Schedule,
    TimeZone,
    cron,
    duration,
    parse_moment,
    zone,
)

STEPS = 5_000
"""Adjoining periods that `next_change` follows before it says when to ask again."""

_FOREVER = datetime.max.replace(tzinfo=UTC)
_ALWAYS = datetime.min.replace(tzinfo=UTC)
_DAY = timedelta(days=1)
_FAR_YEAR = 9000  # later than this is written for "never ends"
_EARLY_YEAR = 1900  # and earlier than this for "from the beginning"
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SEARCHED_DAYS = 16  # a period that starts on one day of the week starts within 8, or 15 if one was skipped

Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

Span = tuple[datetime, datetime]
"""From (included) to (not included), both in UTC."""


def is_active(activation: TimeBasedActivation | None, moment: datetime) -> bool:
    """Whether the specification is active at this moment (aware). Without an activation that is enabled: always."""
    if activation is None or not activation.enabled:
        return True
    moment = moment.astimezone(UTC)
    return any(source.end_of(moment) is not None for source in _sources(activation))


def next_change(activation: TimeBasedActivation | None, moment: datetime) -> datetime | None:
    """The first moment after this one at which `is_active` changes, in UTC; None: it never changes.

    Where periods adjoin without a break for very long (`STEPS` of them), it is a moment at which nothing changes yet
    and at which to ask again. Until then `is_active` is constant in any case.
    """
    if activation is None or not activation.enabled:
        return None
    moment = moment.astimezone(UTC)
    sources = _sources(activation)
    ends = [end for source in sources if (end := source.end_of(moment)) is not None]
    if not ends:
        starts = [start for source in sources if (start := source.next_start(moment)) is not None]
        return min(starts, default=None)
    end = max(ends)
    for _ in range(STEPS):
        if end == _FOREVER:
            return None
        further = [more for source in sources if (more := source.end_of(end)) is not None]
        if not further:
            return end
        end = max(further)
    return end


def inactive_reason(activation: TimeBasedActivation | None, moment: datetime) -> str:
    """Why the specification is not active at this moment, and from when it is; "" if it is active."""
    if activation is None or is_active(activation, moment):
        return ""
    start = next_change(activation, moment)
    if start is None:
        return "no longer active (timeBasedActivation)"
    local = start.astimezone(zone(activation.timezone))
    return f"not active until {local.isoformat(timespec='minutes')} (timeBasedActivation)"


class ActivationClock:
    """`is_active` for many moments of one activation, in less than a microsecond each."""

    def __init__(self, activation: TimeBasedActivation | None) -> None:
        self._activation = activation
        self._known: tuple[datetime, datetime, bool] = (_FOREVER, _ALWAYS, True)

    def is_active(self, moment: datetime) -> bool:
        """The same as the function. Threads may share a clock."""
        since, until, active = self._known
        if since <= moment < until:
            return active
        active = is_active(self._activation, moment)
        self._known = (moment, next_change(self._activation, moment) or _FOREVER, active)
        return active


class _Source(Protocol):
    def end_of(self, moment: datetime) -> datetime | None:
        """The latest end of those of its spans that hold the moment; None if none does."""
        ...

    def next_start(self, moment: datetime) -> datetime | None:
        """The first start after the moment."""
        ...


def _sources(activation: TimeBasedActivation) -> list[_Source]:
    here = zone(activation.timezone)
    sources: list[_Source] = [_Periods(period, here) for period in activation.active_periods]
    if activation.schedule is not None and activation.duration is not None:
        sources.append(_Firings(cron(activation.schedule), duration(activation.duration), here))
    return sources


class _Periods:
    """The spans of one entry of `activePeriods`."""

    def __init__(self, period: ActivePeriod, here: tzinfo) -> None:
        self._here = here
        self._from, self._until = limits(period, here)
        self._days = frozenset(_DAYS.index(day) for day in period.days_of_week) or frozenset(range(7))
        self._start = time.fromisoformat(period.start_time or "00:00")
        self._end = time.fromisoformat(period.end_time or "00:00")
        self._whole = period.start_time is None and len(self._days) == len(_DAYS)

    def end_of(self, moment: datetime) -> datetime | None:
        if not self._from <= moment < self._until:
            return None
        if self._whole:
            return self._until
        today = moment.astimezone(self._here).date()
        # Yesterday's may last over midnight; the others are for clocks that go back over midnight.
        found = [end for start, end in self._spans(today - 2 * _DAY, 4) if start <= moment < end]
        return max(found, default=None)

    def next_start(self, moment: datetime) -> datetime | None:
        first = max(moment, self._from)
        if first >= self._until:
            return None
        if self._whole:
            return first if first > moment else None
        today = first.astimezone(self._here).date()
        starts = (start for start, _ in self._spans(today - 2 * _DAY, _SEARCHED_DAYS + 2) if start > moment)
        return next(starts, None)

    def _spans(self, first: date, days: int) -> Iterator[Span]:
        """The spans that start on these days, without empty ones."""
        for number in range(days):
            day = first + number * _DAY
            if day.weekday() not in self._days:
                continue
            last = day if self._end > self._start else day + _DAY
            start = max(instant(datetime.combine(day, self._start), self._here), self._from)
            end = min(instant(datetime.combine(last, self._end), self._here, last=True), self._until)
            if start < end:
                yield start, end


class _Firings:
    """The spans that a cron schedule starts."""

    def __init__(self, expression: str, lasting: timedelta, here: tzinfo) -> None:
        self._expression = expression
        self._lasting = lasting
        self._here = here

    def end_of(self, moment: datetime) -> datetime | None:
        begin = moment + timedelta(minutes=1)
        if begin.astimezone(self._here).fold:
            # The clock shows a time for the second time: what it fired at the first may be later on the clock.
            begin = moment + timedelta(hours=3)
        for fired in self._fired(begin, reverse=True):
            if fired <= moment:
                return fired + self._lasting if moment < fired + self._lasting else None
        return None

    def next_start(self, moment: datetime) -> datetime | None:
        return next((fired for fired in self._fired(moment) if fired > moment), None)

    def _fired(self, moment: datetime, *, reverse: bool = False) -> Iterator[datetime]:

        local = moment.astimezone(self._here)
        from cronsim import CronSim

        for fired in CronSim(self._expression, local, reverse=reverse):
            yield fired.astimezone(UTC)


def limits(period: ActivePeriod, here: tzinfo) -> Span:
    """From startDate to endDate; a date as an end means the end of that day."""
    start, end = _ALWAYS, _FOREVER
    if period.start_date is not None:
        moment = parse_moment(period.start_date)
        if moment.year >= _FAR_YEAR:
            return _FOREVER, _FOREVER
        if moment.year >= _EARLY_YEAR:
            start = _edge(moment, here)
    if period.end_date is not None:
        moment = parse_moment(period.end_date)
        if moment.year < _FAR_YEAR:
            day_after = moment + _DAY if not isinstance(moment, datetime) else moment
            end = _edge(day_after, here)
    return start, end


def _edge(moment: date | datetime, here: tzinfo) -> datetime:
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return moment.astimezone(UTC) if moment.tzinfo else instant(moment, here)


def instant(local: datetime, here: tzinfo, *, last: bool = False) -> datetime:
    """The moment, in UTC, at which clocks in this zone show this time (naive).

    last: of a time that exists twice the second one, else the first. One that does not exist is the moment at which
    clocks skip it.
    """
    before = local.replace(tzinfo=here, fold=0).astimezone(UTC)
    after = local.replace(tzinfo=here, fold=1).astimezone(UTC)
    if before <= after:
        return after if last else before
    # In a gap `before` is behind it and `after` ahead of it: halve until the moment of the change.
    low, high = after, before
    offset = low.astimezone(here).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle.astimezone(here).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high


def starts_at_all(period: ActivePeriod, here: tzinfo) -> bool:
    """Whether a period has any moment: days between its dates, an end after its start."""
    start, end = limits(period, here)
    if start == _ALWAYS or end == _FOREVER or end - start > _SEARCHED_DAYS * _DAY:
        return start < end
    spans = _Periods(period, here)
    return spans.end_of(start) is not None or spans.next_start(start) is not None


class ActivePeriod(SpecModel):
    """A period in which the specification is active. An end before its start is on the next day."""

    start_time: DayTime | None = Field(None, description="Start, HH:MM. Default: the whole day.")
    end_time: DayTime | None = Field(
        None, description="End, HH:MM, exclusive. If it is before startTime, it is on the next day."
    )
    days_of_week: list[Day] = Field(
        default_factory=list, description="Days on which the period starts. Empty: every day."
    )
    start_date: Moment | None = Field(None, description="First day, or time at which the period begins.")
    end_date: Moment | None = Field(
        None, description="Last day (inclusive), or time at which the period ends."
    )

    @model_validator(mode="after")
    def _both_times(self) -> ActivePeriod:
        if (self.start_time is None) != (self.end_time is None):
            raise ValueError("startTime and endTime must be set together.")
        if self.start_time is not None and self.start_time == self.end_time:
            raise ValueError("startTime and endTime are equal, so the period is empty.")
        if not self.model_fields_set:
            raise ValueError("an empty period has no effect: set times, days or dates.")
        return self


class TimeBasedActivation(SpecModel):
    """When the specification is active. At other times it has no requirements."""

    enabled: Flag = Field(
        False, description="Whether the specification is active only at these times. False: always active."
    )
    schedule: Schedule | None = Field(
        None, description="Cron schedule with five fields. Each firing starts a period of length `duration`."
    )
    duration: Duration | None = Field(
        None, description="Length of the period that each firing starts, such as 8h, 90m or 1d12h."
    )
    timezone: TimeZone = Field("UTC", description="IANA time zone of the schedule, times and dates.")
    active_periods: list[ActivePeriod] = Field(
        default_factory=list,
        description="Periods in which the specification is active, in addition to those of schedule.",
    )

    @model_validator(mode="after")
    def _some_period(self) -> TimeBasedActivation:
        if self.schedule is not None and self.duration is None:
            raise ValueError("schedule requires duration, such as 8h.")
        if self.duration is not None and self.schedule is None:
            raise ValueError("duration has no effect without schedule.")
        if self.enabled and not self.active_periods and self.schedule is None:
            raise ValueError("enabled without activePeriods or schedule would never be active.")
        if self.active_periods:
            here = zone(self.timezone)
            for index, period in enumerate(self.active_periods):
                if not starts_at_all(period, here):
                    raise ValueError(f"activePeriods[{index}]: this period is never active: check its dates.")
        return self
