"""The worker before: APScheduler polls all tenants every 30 seconds and runs what is due in five threads.

python -m before.worker
"""

import json
import logging
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime, timedelta

from apscheduler.schedulers.blocking import BlockingScheduler
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from before.handlers import HANDLERS
from shop import Base, Tenant, create_app

log = logging.getLogger(__name__)
app = create_app()
threads = ThreadPoolExecutor(5)


class Job(Base):
    """A tenant's schedule, in the tenant's own database."""

    __tablename__ = "job"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    payload: Mapped[str] = mapped_column(default="{}")
    every_minutes: Mapped[int]
    next_run_at: Mapped[datetime]
    enabled: Mapped[bool] = mapped_column(default=True)
    last_result: Mapped[str | None]
    last_error: Mapped[str | None]


def poll() -> None:
    """Runs all due jobs of all tenants, and waits for them."""
    with app.app_context():
        urls = [tenant.database_url for tenant in Tenant.query.filter_by(status="active")]
    running = []
    for url in urls:
        try:
            with Session(create_engine(url)) as session:
                due = select(Job.id).where(Job.enabled, Job.next_run_at <= datetime.utcnow())
                running += [threads.submit(run, url, job_id) for job_id in session.scalars(due)]
        except Exception:
            log.exception("a tenant cannot be polled")
    wait(running)


def run(url: str, job_id: int) -> None:
    """Runs one job and writes its result."""
    with app.app_context(), Session(create_engine(url)) as session:
        job = session.get_one(Job, job_id)
        job.next_run_at = datetime.utcnow() + timedelta(minutes=job.every_minutes)
        session.commit()
        try:
            job.last_result = json.dumps(HANDLERS[job.kind](session, json.loads(job.payload)))
            job.last_error = None
        except Exception as error:
            session.rollback()
            job.last_error = repr(error)
        session.commit()


if __name__ == "__main__":
    scheduler = BlockingScheduler()
    scheduler.add_job(poll, "interval", seconds=30, max_instances=1)
    scheduler.start()
