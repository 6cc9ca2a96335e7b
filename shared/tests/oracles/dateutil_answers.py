"""Asks python-dateutil when random recurrence rules come next.

    python dateutil_answers.py 2000 > rrule.tsv

Writes that many lines, each with a rule, its start, a time and the next time of the rule after it, divided
by tabs. The answer can also be `none` or `hangs` (none within two seconds). Times are local ones without a
zone. Needs pip install python-dateutil==4.0.0.
"""

import random
import signal
import sys
from datetime import datetime, timedelta

from dateutil.rrule import rrulestr

DAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
draw = random.Random(22)


def chance(percent: int) -> bool:
    return draw.randrange(100) < percent


def numbers(most: int, first: int, last: int, sign: bool = False) -> str:
    found = [draw.randint(first, last) for _ in range(draw.randint(1, most))]
    return ",".join(str(-number if sign and chance(30) else number) for number in found)


def by_day(frequency: str, by_month: bool) -> str:
    # It takes a list with and without positions to mean both at once.
    last = 5 if frequency == "MONTHLY" or by_month else 53
    has_positions = frequency in ("MONTHLY", "YEARLY") and chance(50)
    days = [draw.choice(DAYS) for _ in range(draw.randint(1, 4))]
    return ",".join((numbers(1, 1, last, True) if has_positions else "") + day for day in days)


def rule() -> tuple[str, datetime]:
    """A random rule with its start."""
    frequency = draw.choice(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"])
    parts = {"FREQ": frequency}
    if chance(50):
        parts["INTERVAL"] = str(draw.randint(1, 5))
    if chance(30):
        parts["BYMONTH"] = numbers(4, 1, 12)
    if frequency != "WEEKLY" and chance(30):
        parts["BYMONTHDAY"] = numbers(4, 1, 31, True)
    if chance(50):
        parts["BYDAY"] = by_day(frequency, "BYMONTH" in parts)
    for name, last, percent in [("BYHOUR", 23, 25), ("BYMINUTE", 59, 25), ("BYSECOND", 59, 10)]:
        if chance(percent):
            parts[name] = numbers(3, 0, last)
    if any(name.startswith("BY") for name in parts) and chance(25):
        parts["BYSETPOS"] = numbers(2, 1, 6, True)
    if chance(30):
        parts["WKST"] = draw.choice(DAYS)
    start = datetime(2020, 1, 1) + timedelta(days=draw.randrange(4000), seconds=draw.randrange(86_400))
    if frequency == "WEEKLY" and "BYSETPOS" in parts:
        # It takes positions in the first week from the start on, RFC 5545 from the week's beginning.
        start -= timedelta(days=(start.weekday() - DAYS.index(parts.get("WKST", "MO"))) % 7)
    end = draw.randrange(4)
    if end == 0:
        parts["COUNT"] = str(draw.randint(1, 60))
    elif end == 1:
        until = start + timedelta(hours=draw.randrange(20_000))
        parts["UNTIL"] = until.strftime("%Y%m%dT%H%M%S")
    return ";".join(f"{name}={value}" for name, value in parts.items()), start


def answer(text: str, start: datetime, after: datetime) -> str:
    signal.setitimer(signal.ITIMER_REAL, 2)
    try:
        found = rrulestr(text, dtstart=start).after(after)
    except Hangs:
        return "hangs"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return found.isoformat() if found else "none"


class Hangs(Exception):
    pass


def stop(*_):
    raise Hangs


signal.signal(signal.SIGALRM, stop)

for _ in range(int(sys.argv[1])):
    text, start = rule()
    after = start + timedelta(minutes=draw.randrange(-43_200, 2_000_000))
    print(text, start.isoformat(), after.isoformat(), answer(text, start, after), sep="\t")
