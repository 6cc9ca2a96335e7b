"""Writes the jobs of APScheduler or Celery beat as JSON, for `polychron schedule import`.

    python exporter.py apscheduler --app shop.jobs:scheduler
    python exporter.py apscheduler --sqlalchemy env:DATABASE_URL [--table apscheduler_jobs]
    python exporter.py apscheduler --redis env:REDIS_URL [--key apscheduler.jobs]
    python exporter.py celery --app shop.celery:app

Run it with the application's own interpreter, in its folder: it needs the application's packages, and
nothing else. It changes nothing. `env:NAME` keeps an address with its password out of the list of
processes.

Job stores contain pickles, and reading a pickle runs code of whoever wrote it. Read only stores that the
application itself reads, with rights that are no more than the application's.
"""

import argparse
import base64
import datetime
import decimal
import enum
import importlib
import json
import math
import os
import pathlib
import pickle
import sys
import uuid

DEPTH_MAX = 50


class NotExportable(Exception):
    """A value that JSON cannot hold."""


def plain(value, path, notes, depth=0):
    """The value as JSON holds it; what was changed for that is noted."""
    if depth > DEPTH_MAX:
        raise NotExportable(f"{path} is nested too deeply")
    if isinstance(value, enum.Enum):
        notes.append(f"{path}: a member of {type(value).__name__} became its value")
        return plain(value.value, path, notes, depth + 1)
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise NotExportable(f"{path} is too large")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotExportable(f"{path} is {value}, which JSON cannot hold")
        return value
    if isinstance(value, dict):
        if any(not isinstance(key, str) for key in value):
            notes.append(f"{path}: keys became texts")
        return {str(key): plain(item, f"{path}[{str(key)!r}]", notes, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        if not isinstance(value, list) and depth > 0:
            notes.append(f"{path}: a {type(value).__name__} became a list")
        items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        return [plain(item, f"{path}[{at}]", notes, depth + 1) for at, item in enumerate(items)]
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        text = value.isoformat()
    elif isinstance(value, datetime.timedelta):
        notes.append(f"{path}: a timedelta became its seconds")
        return value.total_seconds()
    elif isinstance(value, (decimal.Decimal, uuid.UUID, pathlib.PurePath)):
        text = str(value)
    elif isinstance(value, (bytes, bytearray)):
        notes.append(f"{path}: bytes became base64")
        return base64.b64encode(value).decode()
    else:
        kind = type(value)
        raise NotExportable(f"{path} is an object of {kind.__module__}.{kind.__qualname__}, which JSON cannot hold")
    notes.append(f"{path}: a {type(value).__name__} became a text")
    return text


def first_of(thing, *names):
    for name in names:
        if getattr(thing, name, None) is not None:
            return getattr(thing, name)
    return None


def trigger_of(trigger):
    """A trigger of APScheduler 3 or 4 as fields."""
    kind = type(trigger).__name__
    fields = {}
    if kind == "CronTrigger":
        fields["trigger"] = "cron"
        cron = first_of(trigger, "fields", "_fields")
        fields.update({field.name: str(field) for field in cron})
    elif kind == "IntervalTrigger":
        interval = first_of(trigger, "interval", "_interval")
        fields["trigger"] = "interval"
        seconds = interval.days * 86400 + interval.seconds
        fields["seconds"] = seconds + interval.microseconds / 1e6 if interval.microseconds else seconds
    elif kind == "DateTrigger":
        fields["trigger"] = "date"
        fields["run_date"] = first_of(trigger, "run_date", "run_time").isoformat()
    elif kind == "CalendarIntervalTrigger":
        fields["trigger"] = "calendarinterval"
        fields.update({part: getattr(trigger, part) for part in ("years", "months", "weeks", "days")})
        time = trigger._time
        fields.update({"hour": time.hour, "minute": time.minute, "second": time.second})
    elif kind in ("OrTrigger", "AndTrigger"):
        fields["trigger"] = "or" if kind == "OrTrigger" else "and"
        fields["triggers"] = [trigger_of(part) for part in trigger.triggers]
    else:
        raise NotExportable(f"its trigger is a {kind}, which has no counterpart")
    for field, names in (("start_date", ("start_date", "start_time")), ("end_date", ("end_date", "end_time"))):
        bound = first_of(trigger, *names)
        if bound is not None:
            fields[field] = bound.isoformat()
    if getattr(trigger, "timezone", None) is not None:
        fields["timezone"] = str(trigger.timezone)
    if getattr(trigger, "jitter", None):
        fields["jitter"] = trigger.jitter
    return fields


def function_of(function, notes):
    """A reference to a function, such as `shop.jobs:report`; none if it has no name."""
    if function is None or isinstance(function, str):
        return function
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not name or "<" in name:
        notes.append(f"its function {name or function!r} has no name by which it could be imported")
        return None
    return f"{module}:{name}"


def item_of(job_id, read):
    """The item of one job; if `read` fails, one that says why."""
    notes = []
    item = {"id": str(job_id)}
    try:
        item.update(read(notes))
    except NotExportable as error:
        item["error"] = str(error)
    except Exception as error:  # Unpickling can raise anything.
        item["error"] = f"it cannot be read: {type(error).__name__}: {error}"
    if notes:
        item["notes"] = notes
    return item


def of_state(state, notes):
    """A job of APScheduler 3, as its pickle contains it."""
    item = {"name": state.get("name"), "func": function_of(state.get("func"), notes)}
    item.update(trigger_of(state["trigger"]))
    for field in ("args", "kwargs"):
        item[field] = plain(state.get(field), field, notes)
    for field in ("coalesce", "misfire_grace_time", "max_instances", "executor"):
        if field in state:
            item[field] = plain(state[field], field, notes)
    if "next_run_time" in state and state["next_run_time"] is None:
        item["next_run_time"] = None
    return item


STATE = ("name", "trigger", "args", "kwargs", "coalesce", "misfire_grace_time", "max_instances", "executor", "next_run_time")


def of_job(job, notes):
    """A job of a scheduler in this process. One that is pending lacks some fields."""
    state = {field: getattr(job, field) for field in STATE if hasattr(job, field)}
    reference = getattr(job, "func_ref", None)
    return of_state({**state, "func": reference or getattr(job, "func", None)}, notes)


def of_schedule(schedule, tasks, notes):
    """A schedule of APScheduler 4."""
    item = {"func": tasks.get(schedule["task_id"]) or schedule["task_id"]}
    item.update(trigger_of(schedule["trigger"]))
    for field in ("args", "kwargs"):
        item[field] = plain(schedule[field] or None, field, notes)
    if schedule["paused"]:
        item["next_run_time"] = None
    # `earliest` is dropped as well: one run is all that both of them leave.
    policy = getattr(schedule["coalesce"], "name", schedule["coalesce"])
    item["coalesce"] = policy != "all"
    grace = schedule["misfire_grace_time"]
    item["misfire_grace_time"] = grace.total_seconds() if grace is not None else None
    if schedule.get("max_jitter"):
        item["jitter"] = schedule["max_jitter"].total_seconds()
    return item


def do_not_start():
    """Keeps schedulers from starting, since modules start them when they are imported."""
    for name in ("base", "background", "blocking", "asyncio", "gevent", "tornado", "twisted", "qt"):
        try:
            module = importlib.import_module(f"apscheduler.schedulers.{name}")
        except ImportError:
            continue
        for kind in vars(module).values():
            if isinstance(kind, type) and kind.__name__.endswith("Scheduler"):
                kind.start = lambda self, *args, **kwargs: None


def load(reference):
    """`module:name` or `module:name.attribute`."""
    module, _, name = reference.partition(":")
    thing = importlib.import_module(module)
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


def address(text):
    return os.environ[text[4:]] if text.startswith("env:") else text


def from_app(reference):
    do_not_start()
    began = datetime.datetime.now(datetime.timezone.utc)
    jobs = load(reference).get_jobs()
    items = [item_of(job.id, lambda notes, job=job: of_job(job, notes)) for job in jobs]
    for item in items:
        without_invented_start(item, began)
    return items


def without_invented_start(item, began):
    """Leaves out a start that APScheduler made from the present time: it is another one at every export."""
    for part in item.get("triggers", []):
        without_invented_start(part, began)
    if item.get("trigger") == "interval" and "start_date" in item:
        start = datetime.datetime.fromisoformat(item["start_date"])
        if began <= start - datetime.timedelta(seconds=item["seconds"]) <= began + datetime.timedelta(minutes=5):
            del item["start_date"]


def from_sqlalchemy(url, table):
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)
    columns = [sqlalchemy.column(name) for name in ("id", "job_state")]
    with engine.connect() as connection:
        inspector = sqlalchemy.inspect(connection)
        if not inspector.has_table(table) and inspector.has_table("schedules") and inspector.has_table("tasks"):
            return from_version_4(connection, sqlalchemy)
        rows = connection.execute(sqlalchemy.select(*columns).select_from(sqlalchemy.table(table)).order_by(columns[0]))
        return [item_of(row.id, unpickled(row.job_state)) for row in rows]


def from_version_4(connection, sqlalchemy):
    def rows(table):
        stored = sqlalchemy.Table(table, sqlalchemy.MetaData(), autoload_with=connection)
        return connection.execute(sqlalchemy.select(stored).order_by(stored.c.id)).mappings()

    def read(row):
        def of_row(notes):
            fields = {field: pickle.loads(row[field]) for field in ("trigger", "args", "kwargs")}
            whole = {**row, **fields}
            for field in ("misfire_grace_time", "max_jitter"):
                if isinstance(whole.get(field), (int, float)):
                    # A database without intervals has microseconds.
                    whole[field] = datetime.timedelta(microseconds=whole[field])
            return of_schedule(whole, tasks, notes)

        return of_row

    tasks = {row["id"]: row.get("func") for row in rows("tasks")}
    return [item_of(row["id"], read(row)) for row in rows("schedules")]


def from_redis(url, key):
    import redis

    states = redis.Redis.from_url(url).hgetall(key)
    jobs = sorted((job_id.decode("utf-8", "replace"), state) for job_id, state in states.items())
    return [item_of(job_id, unpickled(state)) for job_id, state in jobs]


def unpickled(state):
    return lambda notes: of_state(pickle.loads(state), notes)


def celery_schedule(schedule):
    """An entry's schedule as fields."""
    kind = type(schedule).__name__
    if isinstance(schedule, (int, float)):
        schedule = datetime.timedelta(seconds=schedule)
    if isinstance(schedule, datetime.timedelta):
        return {"type": "interval", "seconds": schedule.total_seconds()}
    if kind == "crontab":
        names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
        return {"type": "crontab", **{name: str(getattr(schedule, f"_orig_{name}")) for name in names}}
    if kind == "solar":
        return {"type": "solar", "event": schedule.event}
    if hasattr(schedule, "run_every"):
        fields = {"type": "interval", "seconds": schedule.run_every.total_seconds()}
        if getattr(schedule, "relative", False):
            fields["relative"] = True
        return fields
    raise NotExportable(f"its schedule is a {kind}, which has no counterpart")


def of_entry(entry, notes):
    item = {"task": entry["task"], "schedule": celery_schedule(entry["schedule"])}
    for field in ("args", "kwargs", "options"):
        item[field] = plain(entry.get(field) or None, field, notes)
    if entry.get("relative"):
        item["schedule"]["relative"] = True
    return item


def from_celery(reference):
    app = load(reference)
    app.finalize(auto=True)
    app.loader.import_default_modules()
    entries = sorted((app.conf.beat_schedule or {}).items())
    items = [item_of(name, lambda notes, entry=entry: of_entry(entry, notes)) for name, entry in entries]
    return {"celery": {"timezone": str(app.timezone), "beat_schedule": items}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    of_apscheduler = kinds.add_parser("apscheduler")
    where = of_apscheduler.add_mutually_exclusive_group(required=True)
    where.add_argument("--app", metavar="MODULE:SCHEDULER", help="the jobs that a module adds; it is not started")
    where.add_argument("--sqlalchemy", metavar="URL", help="a job store, or a data store of version 4")
    where.add_argument("--redis", metavar="URL", help="a job store")
    of_apscheduler.add_argument("--table", default="apscheduler_jobs")
    of_apscheduler.add_argument("--key", default="apscheduler.jobs")
    of_celery = kinds.add_parser("celery")
    of_celery.add_argument("--app", metavar="MODULE:APP", required=True)
    arguments = parser.parse_args()
    # Pickles refer to the application's modules, too.
    sys.path.insert(0, os.getcwd())
    if arguments.kind == "celery":
        exported = from_celery(arguments.app)
    elif arguments.app:
        exported = from_app(arguments.app)
    elif arguments.sqlalchemy:
        exported = from_sqlalchemy(address(arguments.sqlalchemy), arguments.table)
    else:
        exported = from_redis(address(arguments.redis), arguments.key)
    json.dump(exported, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
