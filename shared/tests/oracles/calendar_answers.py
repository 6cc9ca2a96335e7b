"""Asks APScheduler when random calendar intervals come next.

    python calendar_answers.py 2000 > calendar.tsv

Writes that many lines, each with a number, a unit (days, weeks, months or years), the first local time, a
zone, an instant and the next time after it, divided by tabs; both are in seconds since 1970. Half of the
instants are within a day before a clock change.

The time zone data has to be the built-in one: pip install APScheduler==3.11.3 tzdata==2026.6, and run
with PYTHONTZPATH set to nothing, so that the machine's own data is not used.
"""

import random
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo, available_timezones

from apscheduler.triggers.calendarinterval import CalendarIntervalTrigger

ZONES = sorted(name for name in available_timezones() if "/" in name)
DAY = timedelta(days=1)
draw = random.Random(23)


def instant(zone: ZoneInfo) -> datetime:
    """A random instant, often one before a clock change."""
    at = datetime(draw.randint(1980, 2060), 1, 1, tzinfo=timezone.utc) + DAY * draw.randrange(365)
    at += timedelta(seconds=draw.randrange(86_400))
    if draw.randrange(2):
        for days in range(400):
            before, after = at + DAY * days, at + DAY * (days + 1)
            if before.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
                return before
    return at


def answer(number: int, unit: str, first: datetime, zone: ZoneInfo, at: datetime) -> int:
    trigger = CalendarIntervalTrigger(
        **{unit: number},
        start_date=first.date(),
        hour=first.hour,
        minute=first.minute,
        timezone=zone,
    )
    found = trigger.get_next_fire_time(None, at)
    while found <= at:
        found = trigger.get_next_fire_time(found, at)
    return int(found.timestamp())


for _ in range(int(sys.argv[1])):
    name = draw.choice(ZONES)
    zone = ZoneInfo(name)
    at = instant(zone)
    unit, most = draw.choice([("days", 3), ("days", 40), ("weeks", 9), ("months", 18), ("years", 4)])
    number = draw.randint(1, most)
    # Clocks mostly change early in the morning.
    hour = draw.choice([0, 1, 2, 3, draw.randrange(24)])
    date = at.astimezone(zone).replace(tzinfo=None) - DAY * draw.randrange(3000)
    first = date.replace(hour=hour, minute=draw.choice([0, 30, draw.randrange(60)]), second=0, microsecond=0)
    found = answer(number, unit, first, zone, at)
    print(number, unit, first.isoformat(), name, int(at.timestamp()), found, sep="\t")
