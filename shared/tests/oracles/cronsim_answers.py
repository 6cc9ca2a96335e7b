"""Asks cronsim when each expression comes next.

    python cronsim_answers.py < triples.tsv > cronsim.tsv

Each line of input is an expression, a zone and an instant in seconds since 1970, divided by tabs;
the same line is written with the answer in seconds since 1970 added, or with `refused`, `none` or
`hangs` (no answer within a second).

The time zone data has to be the built-in one: pip install cronsim==2.8 tzdata==2026.6, and run
with PYTHONTZPATH set to nothing, so that the machine's own data is not used.
"""

import signal
import sys
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError


def answer(expression: str, zone: str, instant: int) -> str:
    start = datetime.fromtimestamp(instant, timezone.utc).astimezone(ZoneInfo(zone))
    signal.setitimer(signal.ITIMER_REAL, 1)
    try:
        found = next(CronSim(expression, start))
    except Hangs:
        return "hangs"
    except CronSimError:
        return "refused"
    except (StopIteration, RuntimeError):
        return "none"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return str(int(found.timestamp()))


class Hangs(Exception):
    pass


def stop(*_):
    raise Hangs


signal.signal(signal.SIGALRM, stop)


for line in sys.stdin:
    expression, zone, instant = line.rstrip("\n").split("\t")
    found = answer(expression, zone, int(instant))
    print(expression, zone, instant, found, sep="\t")
