"""Runs the application before and after the change."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

HERE = Path(__file__).parent
SLUGS = ("acme", "globex")


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: ANN201 - the module of the worker
    """The worker before, with two tenants that have jobs, customers and invoices."""
    monkeypatch.setenv("SHOP_DATABASE_URL", f"sqlite:///{tmp_path}/shop.db")
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.syspath_prepend(str(HERE))
    import shop
    from before import worker

    with worker.app.app_context():
        shop.db.create_all()
        for slug in SLUGS:
            url = f"sqlite:///{tmp_path}/{slug}.db"
            shop.db.session.add(shop.Tenant(slug=slug, database_url=url))
            engine = create_engine(url)
            shop.Base.metadata.create_all(engine)
            with Session(engine) as session:
                session.add(shop.Customer(id=1, email="ann@example.com"))
                paid = {"cents": 500, "is_paid": True}
                session.add_all(
                    shop.Invoice(customer_id=1, **one) for one in (paid, {"cents": 100}, {"cents": 7})
                )
                at = {"every_minutes": 60, "next_run_at": datetime(2026, 1, 1)}
                session.add(worker.Job(name="remind", kind="send_reminders", payload='{"most": 3}', **at))
                session.add(worker.Job(name="report", kind="report", **at))
                session.commit()
        shop.db.session.commit()
    return worker


def rows(database: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as db:
        return db.execute(query).fetchall()


def test_before_and_after(worker, tmp_path: Path) -> None:  # noqa: ANN001
    worker.poll()
    for slug in SLUGS:
        results = rows(tmp_path / f"{slug}.db", "SELECT last_result, last_error FROM job ORDER BY name")
        assert results == [('{"sent": 2}', None), ('{"cents": 500}', None)]
    worker.poll()  # nothing is due
    assert rows(tmp_path / "acme.db", "SELECT sum(reminders) FROM invoice") == [(2,)]
    if "POLYCHRON_PROGRAM" in os.environ:
        after(tmp_path)


def after(folder: Path) -> None:
    from polychron.testing import engine

    with engine("after.jobs", arguments=["--flask", "shop:create_app"]) as polychron:
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("POLYCHRON_")},
            "DATABASE_URL": f"sqlite://{polychron.folder}/control.db",
            "PATH": f"{Path(os.environ['POLYCHRON_PROGRAM']).parent}:{os.environ['PATH']}",
        }
        for _ in range(2):  # the second time, all is there
            command = [sys.executable, "-m", "after.move"]
            moved = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True)
            assert moved.stdout.endswith("acme: 2 jobs\nglobex: 2 jobs\n"), moved.stdout + moved.stderr
        for slug in SLUGS:
            for job in ("remind", "report"):
                polychron.polychron("job", "run", slug, job, "--wait")
            database = folder / f"{slug}.db"
            query = "SELECT status, result FROM polychron_job_execution ORDER BY id"
            assert rows(database, query) == [("success", '{"sent":2}'), ("success", '{"cents":500}')]
            assert rows(database, "SELECT sum(reminders) FROM invoice") == [(4,)]
            output = "SELECT output FROM polychron_job_execution ORDER BY id LIMIT 1"
            assert "from billing@shop.example: please pay invoice 2" in str(rows(database, output))
