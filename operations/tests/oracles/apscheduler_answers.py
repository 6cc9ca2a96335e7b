"""Asks APScheduler when each of these triggers fires next.

    python apscheduler_answers.py > apscheduler.jsonl

Each line of output is a trigger with what it was made of, what it prints, all of its fields, and
its next times after three instants, none of which is near a change of clocks.

    pip install apscheduler==3.11.3 tzdata==2026.6, and run with PYTHONTZPATH set to nothing, so that
the time zone data is the built-in one.
"""

import json
from datetime import datetime, timedelta, timezone

from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

UTC = timezone.utc
STARTS = ["2026-01-20T10:17:31+00:00", "2026-06-13T23:59:59+00:00", "2028-02-27T04:00:00+00:00"]
TIMES = 8

CRON = [
    {"day_of_week": "mon-fri", "hour": "5", "minute": "30"},
    {"day_of_week": "0", "hour": 9},
    {"day_of_week": "0-4", "hour": "9-17", "minute": "0,30"},
    {"day_of_week": "6", "hour": "12", "minute": "0"},
    {"day_of_week": "*/2", "hour": "6"},
    {"day_of_week": "1/3", "hour": "6"},
    {"day_of_week": "sat,sun", "hour": "7", "minute": "15"},
    {"day_of_week": "mon,wed-fri,5", "hour": "7"},
    {"hour": "*/4"},
    {"minute": "*/7"},
    {"minute": "5-50/15"},
    {"minute": "40/5", "hour": "8"},
    {"second": "*/20"},
    {"second": "5", "minute": "10"},
    {"second": "0"},
    {"second": "*", "minute": "0", "hour": "4"},
    {"month": "6"},
    {"month": "jan-mar,Oct", "day": "10"},
    {"month": "*/5", "day": "*/10", "hour": "4"},
    {"day": "last", "hour": "23", "minute": "59"},
    {"day": "3rd fri", "hour": "16"},
    {"day": "last sun", "hour": "8", "minute": "20"},
    {"day": "1st mon,15", "hour": "8"},
    {"day": "5th wed", "hour": "8"},
    {"day": "*/15,2nd tue", "hour": "8"},
    {"day": "last,1st sat", "hour": "8"},
    {"day": "1-7", "day_of_week": "mon", "hour": "9"},
    {"day": "8-21", "day_of_week": "tue,thu", "hour": "9"},
    {"day": "29-31", "day_of_week": "fri", "hour": "9"},
    {"day": "*/3", "day_of_week": "mon-wed", "hour": "9"},
    {"day": "31,*/10", "day_of_week": "sat", "hour": "9"},
    {"day": "29", "month": "2", "hour": "9"},
    {"day": "*", "day_of_week": "fri", "hour": "13", "minute": "13", "second": "13"},
    {"year": "*", "week": "*", "day_of_week": "sun", "hour": "10"},
    {"hour": "6", "start_date": "2026-06-15 06:00:00", "end_date": "2026-06-18 06:00:00"},
    {"hour": "6", "start_date": "2026-06-15", "end_date": "2026-06-18 05:59:59"},
]
INTERVAL = [
    {"minutes": 90, "start_date": "2026-01-01 00:00:00"},
    {"weeks": 1, "days": 1, "start_date": "2026-01-05 09:30:00"},
    {"seconds": 45, "start_date": "2026-01-01 00:00:10"},
    {"days": 10, "hours": 3, "start_date": "2029-01-01 00:00:00", "timezone": "UTC"},
]


def main():
    for kind, make, cases in (
        ("cron", CronTrigger, CRON),
        ("interval", IntervalTrigger, INTERVAL),
    ):
        for given in cases:
            for zone in ("UTC", "America/New_York", "Australia/Adelaide"):
                # An interval counts elapsed time, so that its zone only places its start.
                arguments = {"timezone": zone, **given}
                trigger = make(**arguments)
                for start in STARTS:
                    print(json.dumps(line(kind, arguments, trigger, start)))


def line(kind, arguments, trigger, start):
    fields = {}
    if kind == "cron":
        fields = {field.name: str(field) for field in trigger.fields}
    return {
        "item": {"id": "job", "func": "f", "trigger": kind, **arguments},
        "printed": str(trigger),
        "fields": fields,
        "from": start,
        "times": times(trigger, datetime.fromisoformat(start)),
    }


def times(trigger, now):
    found = []
    while len(found) < TIMES:
        fires = trigger.get_next_fire_time(None, now)
        if fires is None:
            break
        found.append(fires.astimezone(UTC).isoformat())
        now = fires.astimezone(UTC) + timedelta(microseconds=1)
    return found


if __name__ == "__main__":
    main()
