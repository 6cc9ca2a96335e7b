"""The polling worker that one builds of APScheduler and SQLAlchemy: an interval job polls for
due jobs and gives them to five threads; each run is recorded when it starts and when it ends.

It polls five times a second, more often than such workers do, so that the measurement covers the work
and not the wait for the next poll.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

from apscheduler.schedulers.blocking import BlockingScheduler
from sqlalchemy import BigInteger, DateTime, String, create_engine, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

THREADS = 5
LOOK_SECONDS = 0.2

url = os.environ["DATABASE_URL"].replace("postgres://", "postgresql+psycopg://")
engine = create_engine(url, pool_size=THREADS + 1)
executor = ThreadPoolExecutor(THREADS)


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True), dict: JSONB, int: BigInteger, str: String}


class Job(Base):
    __tablename__ = "polychron_job"
    id: Mapped[int] = mapped_column(primary_key=True)
    next_run_at: Mapped[datetime | None]


class Execution(Base):
    __tablename__ = "polychron_job_execution"
    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int]
    scheduled_for: Mapped[datetime]
    status: Mapped[str]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    result: Mapped[dict | None]


def now():
    return datetime.now(timezone.utc)


def poll():
    """Gives the threads what is due, and says when it is due next."""
    with Session(engine) as session:
        due = session.scalars(
            select(Job).where(Job.next_run_at <= now()).order_by(Job.next_run_at).with_for_update(skip_locked=True)
        ).all()
        found = [(job.id, job.next_run_at) for job in due]
        for job in due:
            job.next_run_at += timedelta(hours=24)
        session.commit()
    for job_id, scheduled_for in found:
        executor.submit(run, job_id, scheduled_for)


def run(job_id, scheduled_for):
    """Runs one job, which does nothing."""
    with Session(engine) as session:
        execution = Execution(job_id=job_id, scheduled_for=scheduled_for, status="running", started_at=now())
        session.add(execution)
        session.commit()
        execution.status = "success"
        execution.result = {}
        execution.finished_at = now()
        session.commit()


with engine.connect():
    scheduler = BlockingScheduler()
    scheduler.add_job(poll, "interval", seconds=LOOK_SECONDS, max_instances=1, coalesce=True)
    print("ready", flush=True)
scheduler.start()
