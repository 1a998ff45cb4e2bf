"""Every boundary is written as a wall clock shows it; the property tests say what must hold for any activation."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kspec.errors import SpecError
from pytest_kspec.spec.activation import ActivationClock, TimeBasedActivation, instant, is_active, next_change
from pytest_kspec.spec.loading import spec_from_part
from tests.effort import examples

BERLIN = "Europe/Berlin"


def activation(*periods: dict[str, Any], zone: str = "UTC", **keys: Any) -> TimeBasedActivation:
    return TimeBasedActivation.model_validate(
        {"enabled": True, "timezone": zone, "activePeriods": list(periods), **keys}
    )


def at(text: str, zone: str = "UTC", fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


def changes(given: TimeBasedActivation, start: datetime, count: int) -> list[str]:
    """The next boundaries, in the activation's zone, with `+` where it becomes active."""
    found = []
    moment = start
    for _ in range(count):
        change = next_change(given, moment)
        if change is None:
            found.append("never")
            break
        assert is_active(given, change) != is_active(given, change - timedelta(microseconds=1))
        sign = "+" if is_active(given, change) else "-"
        found.append(sign + change.astimezone(ZoneInfo(given.timezone)).isoformat(timespec="minutes"))
        moment = change
    return found


NIGHT = {"startTime": "22:00", "endTime": "06:00"}
DAY = {"startTime": "09:00", "endTime": "17:00"}


def test_without_activation_it_is_always_active() -> None:
    never_enabled = TimeBasedActivation.model_validate({"enabled": False, "activePeriods": [DAY]})
    for off in (None, never_enabled):
        assert is_active(off, at("2027-01-01T03:00"))
        assert next_change(off, at("2027-01-01T03:00")) is None


def test_the_end_is_not_included() -> None:
    office = activation(DAY)
    assert not is_active(office, at("2027-01-01T08:59:59.999999"))
    assert is_active(office, at("2027-01-01T09:00"))
    assert is_active(office, at("2027-01-01T16:59:59.999999"))
    assert not is_active(office, at("2027-01-01T17:00"))


def test_a_period_over_midnight_belongs_to_the_day_on_which_it_starts() -> None:
    friday_night = activation({**NIGHT, "daysOfWeek": ["Friday"]}, zone=BERLIN)
    assert changes(friday_night, at("2027-01-04T00:00", BERLIN), 3) == [
        "+2027-01-08T22:00+01:00",
        "-2027-01-09T06:00+01:00",
        "+2027-01-15T22:00+01:00",
    ]
    assert not is_active(friday_night, at("2027-01-08T05:00", BERLIN))
    assert is_active(friday_night, at("2027-01-09T05:00", BERLIN))


def test_a_period_without_times_is_whole_days() -> None:
    weekend = activation({"daysOfWeek": ["Saturday", "Sunday"]}, zone=BERLIN)
    assert changes(weekend, at("2027-01-04T00:00", BERLIN), 2) == [
        "+2027-01-09T00:00+01:00",
        "-2027-01-11T00:00+01:00",
    ]


def test_dates_are_whole_days_in_the_zone() -> None:
    freeze = activation({"startDate": "2027-12-20", "endDate": "2028-01-03"}, zone=BERLIN)
    assert changes(freeze, at("2027-01-01T00:00"), 5) == [
        "+2027-12-20T00:00+01:00",
        "-2028-01-04T00:00+01:00",
        "never",
    ]


def test_dates_with_a_time_are_moments() -> None:
    freeze = activation({"startDate": "2027-12-20T12:00", "endDate": "2027-12-20T15:00:00Z"}, zone=BERLIN)
    assert changes(freeze, at("2027-01-01T00:00"), 3) == [
        "+2027-12-20T12:00+01:00",
        "-2027-12-20T16:00+01:00",
        "never",
    ]


def test_dates_cut_a_period_over_midnight() -> None:
    nights = activation({**NIGHT, "startDate": "2027-03-01", "endDate": "2027-03-02"})
    assert changes(nights, at("2027-01-01T00:00"), 9) == [
        "+2027-03-01T00:00+00:00",
        "-2027-03-01T06:00+00:00",
        "+2027-03-01T22:00+00:00",
        "-2027-03-02T06:00+00:00",
        "+2027-03-02T22:00+00:00",
        "-2027-03-03T00:00+00:00",
        "never",
    ]


def test_periods_that_adjoin_or_overlap_are_one() -> None:
    both = activation(
        {"startTime": "08:00", "endTime": "12:00"},
        {"startTime": "12:00", "endTime": "14:00"},
        {"startTime": "13:00", "endTime": "18:00"},
    )
    assert changes(both, at("2027-01-01T00:00"), 2) == ["+2027-01-01T08:00+00:00", "-2027-01-01T18:00+00:00"]


def test_always_active_periods_never_change() -> None:
    since = activation({"startDate": "2020-01-01"})
    assert next_change(since, at("2027-01-01T00:00")) is None
    assert next_change(activation({"endDate": "9999-12-31"}), at("2027-01-01T00:00")) is None


def test_periods_that_cover_everything_say_when_to_ask_again() -> None:
    round_the_clock = activation(DAY, {"startTime": "17:00", "endTime": "09:00"})
    start = at("2027-01-01T00:00")
    ask = next_change(round_the_clock, start)
    assert ask is not None
    assert ask - start > timedelta(days=2000)
    assert is_active(round_the_clock, ask)


class TestClocksGoForward:
    """Berlin, 28 March 2027: 02:00 is followed by 03:00."""

    BEFORE = at("2027-03-27T12:00", BERLIN)

    def test_an_end_that_does_not_exist_is_the_change(self) -> None:
        given = activation({"startTime": "01:00", "endTime": "02:30", "daysOfWeek": ["Sunday"]}, zone=BERLIN)
        assert changes(given, self.BEFORE, 2) == ["+2027-03-28T01:00+01:00", "-2027-03-28T03:00+02:00"]
        assert is_active(given, at("2027-03-28T01:59", BERLIN))

    def test_a_start_that_does_not_exist_is_the_change(self) -> None:
        given = activation({"startTime": "02:30", "endTime": "04:00", "daysOfWeek": ["Sunday"]}, zone=BERLIN)
        assert changes(given, self.BEFORE, 2) == ["+2027-03-28T03:00+02:00", "-2027-03-28T04:00+02:00"]

    def test_a_period_that_does_not_exist_at_all(self) -> None:
        given = activation({"startTime": "02:15", "endTime": "02:45", "daysOfWeek": ["Sunday"]}, zone=BERLIN)
        assert changes(given, self.BEFORE, 1) == ["+2027-04-04T02:15+02:00"]

    def test_a_firing_that_does_not_exist_is_at_the_change(self) -> None:
        given = activation(schedule="30 2 * * *", duration="1h", zone=BERLIN)
        assert changes(given, self.BEFORE, 2) == ["+2027-03-28T03:00+02:00", "-2027-03-28T04:00+02:00"]


class TestClocksGoBack:
    """Berlin, 31 October 2027: 03:00 is followed by 02:00, so 02:30 exists twice."""

    BEFORE = at("2027-10-30T12:00", BERLIN)

    def test_it_ends_at_the_second(self) -> None:
        given = activation({"startTime": "01:00", "endTime": "02:30", "daysOfWeek": ["Sunday"]}, zone=BERLIN)
        assert changes(given, self.BEFORE, 2) == ["+2027-10-31T01:00+02:00", "-2027-10-31T02:30+01:00"]

    def test_it_starts_at_the_first(self) -> None:
        given = activation({"startTime": "02:30", "endTime": "04:00", "daysOfWeek": ["Sunday"]}, zone=BERLIN)
        assert changes(given, self.BEFORE, 2) == ["+2027-10-31T02:30+02:00", "-2027-10-31T04:00+01:00"]

    def test_a_schedule_fires_once(self) -> None:
        given = activation(schedule="30 2 * * *", duration="30m", zone=BERLIN)
        assert changes(given, self.BEFORE, 3) == [
            "+2027-10-31T02:30+02:00",
            "-2027-10-31T02:00+01:00",
            "+2027-11-01T02:30+01:00",
        ]
        # Asked while the clock shows 02:40 for the second time: it fired more than an hour ago.
        assert not is_active(given, at("2027-10-31T02:40", BERLIN, fold=1))
        assert is_active(
            activation(schedule="30 2 * * *", duration="2h", zone=BERLIN), at("2027-10-31T02:10", BERLIN, 1)
        )

    def test_an_hourly_schedule_fires_in_every_real_hour(self) -> None:
        given = activation(schedule="0 * * * *", duration="1h", zone=BERLIN)
        for minutes in range(0, 24 * 60, 7):
            assert is_active(given, self.BEFORE + timedelta(minutes=minutes))


def test_midnight_may_not_exist() -> None:
    """Santiago, 5 September 2027: 24:00 is followed by 01:00."""
    sunday = activation({"daysOfWeek": ["Sunday"]}, zone="America/Santiago")
    assert changes(sunday, at("2027-09-04T12:00", "America/Santiago"), 2) == [
        "+2027-09-05T01:00-03:00",
        "-2027-09-06T00:00-03:00",
    ]


def test_a_day_may_not_exist() -> None:
    """Apia skipped Friday, 30 December 2011."""
    friday = activation({"daysOfWeek": ["Friday"]}, zone="Pacific/Apia")
    assert changes(friday, at("2011-12-28T12:00", "Pacific/Apia"), 1) == ["+2012-01-06T00:00+14:00"]


@pytest.mark.parametrize(
    ("local", "last", "expected"),
    [
        ("2027-01-01T12:00", False, "2027-01-01T11:00+00:00"),
        ("2027-03-28T02:59:59", False, "2027-03-28T01:00+00:00"),
        ("2027-03-28T02:00", True, "2027-03-28T01:00+00:00"),
        ("2027-10-31T02:30", False, "2027-10-31T00:30+00:00"),
        ("2027-10-31T02:30", True, "2027-10-31T01:30+00:00"),
    ],
)
def test_instants(local: str, last: bool, expected: str) -> None:
    found = instant(datetime.fromisoformat(local), ZoneInfo(BERLIN), last=last)
    assert found == datetime.fromisoformat(expected)


class TestSchedule:
    def test_each_firing_starts_a_period(self) -> None:
        office = activation(schedule="0 9 * * 1-5", duration="8h", zone=BERLIN)
        assert changes(office, at("2027-01-01T20:00", BERLIN), 3) == [  # a Friday
            "+2027-01-04T09:00+01:00",
            "-2027-01-04T17:00+01:00",
            "+2027-01-05T09:00+01:00",
        ]

    def test_firings_within_a_period_prolong_it(self) -> None:
        given = activation(schedule="0 8,10,12 * * *", duration="3h")
        assert changes(given, at("2027-01-01T00:00"), 2) == [
            "+2027-01-01T08:00+00:00",
            "-2027-01-01T15:00+00:00",
        ]

    def test_beside_periods_one_is_enough(self) -> None:
        given = activation({"startTime": "12:00", "endTime": "13:00"}, schedule="@daily", duration="30m")
        assert changes(given, at("2027-01-01T12:30"), 3) == [
            "-2027-01-01T13:00+00:00",
            "+2027-01-02T00:00+00:00",
            "-2027-01-02T00:30+00:00",
        ]

    def test_rare_firings_are_found(self) -> None:
        given = activation(schedule="0 0 29 2 *", duration="1d")
        assert changes(given, at("2027-01-01T00:00"), 2) == [
            "+2028-02-29T00:00+00:00",
            "-2028-03-01T00:00+00:00",
        ]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("schedule: 0 9 * * 1-5", "schedule requires duration"),
        ("duration: 8h, activePeriods: [{daysOfWeek: [Monday]}]", "duration has no effect without schedule"),
        (
            "schedule: 0 0 30 2 *, duration: 1h",
            "schedule: '0 0 30 2 *' is not a cron schedule: bad day-of-month",
        ),
        ("schedule: 61 * * * *, duration: 1h", "schedule: '61 * * * *' is not a cron schedule: bad minute"),
        ("schedule: '@reboot', duration: 1h", "schedule: '@reboot' is not a cron schedule; known: @annually"),
        ("schedule: '@daily', duration: 8", "duration: '8' is not a duration; write days, hours and minutes"),
        ("schedule: '@daily', duration: 0h", "duration: '0h' is not a duration"),
        ("schedule: '@daily', duration: 400d", "duration: '400d' is longer than a year"),
        (
            "activePeriods: [{startDate: 2027-02-01, endDate: 2027-01-01}]",
            "activePeriods[0]: this period is never active: check its dates",
        ),
        (
            # 1 January 2027 is a Friday.
            "activePeriods: [{startDate: 2027-01-01, endDate: 2027-01-02, daysOfWeek: [Monday]}]",
            "activePeriods[0]: this period is never active: check its dates",
        ),
        ("activePeriods: [{startDate: 9999-12-31}]", "activePeriods[0]: this period is never active"),
        ("", "enabled without activePeriods or schedule would never be active"),
    ],
)
def test_what_could_never_be_active_is_an_error(keys: str, expected: str) -> None:
    with pytest.raises(SpecError) as error:
        spec_from_part(f"timeBasedActivation: {{enabled: true, {keys}}}", path="s.yaml")
    (problem,) = error.value.problems
    assert expected in problem
    assert problem.startswith("s.yaml:1:")


def test_a_clock_gives_the_same_answers() -> None:
    given = activation(DAY, zone=BERLIN)
    clock = ActivationClock(given)
    start = at("2027-03-27T00:00", BERLIN)
    for minutes in (*range(0, 3 * 1440, 11), 5, 700):
        moment = start + timedelta(minutes=minutes)
        assert clock.is_active(moment) == is_active(given, moment)


ZONES = ("UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Pacific/Apia")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TIMES = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.sampled_from((0, 1, 30, 59)))


@st.composite
def periods(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if draw(st.booleans()):
        start, end = draw(st.lists(TIMES, min_size=2, max_size=2, unique=True))
        found |= {"startTime": start, "endTime": end}
    found["daysOfWeek"] = draw(st.lists(st.sampled_from(DAYS), unique=True, max_size=7))
    if draw(st.booleans()):
        found["startDate"] = draw(st.dates(date(2026, 1, 1), date(2027, 6, 1))).isoformat()
    if draw(st.booleans()):
        found["endDate"] = draw(st.dates(date(2027, 8, 1), date(2028, 1, 1))).isoformat()
    return found


@st.composite
def activations(draw: st.DrawFn) -> TimeBasedActivation:
    found = draw(st.lists(periods(), max_size=3))
    keys: dict[str, Any] = {}
    if not found or draw(st.booleans()):
        minute = draw(st.sampled_from(("0", "30", "*/15", "1,59")))
        hour = draw(st.sampled_from(("*", "2", "0,2,3", "*/6", "1-3")))
        day = draw(st.sampled_from(("* * *", "1 * *", "* * 0", "15 * 1", "* 3,10 *", "L * *")))
        keys = {
            "schedule": f"{minute} {hour} {day}",
            "duration": draw(st.sampled_from(("1m", "45m", "3h", "2d"))),
        }
    return activation(*found, zone=draw(st.sampled_from(ZONES)), **keys)


MOMENTS = st.one_of(
    st.datetimes(datetime(2027, 1, 1), datetime(2028, 1, 1)),
    # around the changes of the clocks of these zones
    st.sampled_from(
        ("2027-03-28", "2027-10-31", "2027-03-14", "2027-11-07", "2027-04-04", "2027-09-05")
    ).flatmap(
        lambda day: st.timedeltas(timedelta(hours=-14), timedelta(hours=30)).map(
            lambda d: datetime.fromisoformat(day) + d
        )
    ),
).map(lambda moment: moment.replace(tzinfo=UTC))


@settings(max_examples=examples(150))
@given(activations(), MOMENTS, st.lists(st.floats(0, 0.999), min_size=1, max_size=5))
def test_it_is_constant_until_the_next_change_and_changes_there(
    given: TimeBasedActivation, moment: datetime, parts: list[float]
) -> None:
    active = is_active(given, moment)
    change = next_change(given, moment)
    until = change if change is not None else moment + timedelta(days=400)
    assert until > moment
    length = min(until - moment, timedelta(days=800))
    for part in parts:
        assert is_active(given, moment + length * part) == active
    if change is None:
        return
    assert is_active(given, change - timedelta(microseconds=1)) == active
    if change - moment < timedelta(days=50):
        assert is_active(given, change) != active


@given(periods(), MOMENTS)
def test_without_changes_of_clocks_it_is_what_the_clock_shows(
    given: dict[str, Any], moment: datetime
) -> None:
    """An independent reading of a period: the day on which it starts, then the times."""
    tokyo = ZoneInfo("Asia/Tokyo")
    local = moment.astimezone(tokyo)
    start, end = given.get("startTime", "00:00"), given.get("endTime", "24:00")
    shown = f"{local:%H:%M}"
    days = given["daysOfWeek"] or DAYS
    today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
    if start < end:
        expected = today in days and start <= shown < end
    else:
        expected = (today in days and shown >= start) or (yesterday in days and shown < end)
    day = local.date().isoformat()
    expected = expected and given.get("startDate", "") <= day <= given.get("endDate", "9")
    if not (given["daysOfWeek"] or len(given) > 1):
        return  # an empty period is refused
    assert is_active(activation(given, zone="Asia/Tokyo"), moment) == expected
