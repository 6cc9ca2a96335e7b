"""Runs the application before and after the change."""

import json
import os
import subprocess
import sys
import uuid
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.orm import Session

HERE = Path(__file__).parent
SLUGS = ("acme", "globex")


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path):  # noqa: ANN201 - a function
    """Makes the URL of a database with this name; PostgreSQL's are dropped afterwards."""
    if request.param == "sqlite":
        yield lambda name: f"sqlite:///{tmp_path}/{name}.db"
        return
    server = os.environ.get("TEST_POSTGRES_URL")
    if not server:
        pytest.skip("TEST_POSTGRES_URL names no PostgreSQL")
    url = make_url(server).set(drivername="postgresql+psycopg")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    made: list[str] = []

    def make(name: str) -> str:
        made.append(f"shop_{name}_{uuid.uuid4().hex}")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {made[-1]}"))
        return url.set(database=made[-1]).render_as_string(hide_password=False)

    yield make
    with admin.connect() as connection:
        for name in made:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def tenants(database_url, monkeypatch: pytest.MonkeyPatch):  # noqa: ANN001, ANN201
    """The URLs of two tenants that have jobs, customers and invoices, and the worker before the change."""
    monkeypatch.setenv("SHOP_DATABASE_URL", database_url("shop"))
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.syspath_prepend(str(HERE))
    for module in ("shop", "before", "before.handlers", "before.worker"):
        sys.modules.pop(module, None)  # they read the setting when they are imported
    import shop
    from before import worker

    urls = {slug: database_url(slug) for slug in SLUGS}
    with worker.app.app_context():
        shop.db.create_all()
        for slug, url in urls.items():
            shop.db.session.add(shop.Tenant(slug=slug, database_url=url))
            engine = create_engine(url)
            shop.Base.metadata.create_all(engine)
            with Session(engine) as session:
                session.add(shop.Customer(id=1, email="ann@example.com"))
                session.flush()
                paid = {"cents": 500, "is_paid": True}
                session.add_all(
                    shop.Invoice(customer_id=1, **one) for one in (paid, {"cents": 100}, {"cents": 7})
                )
                at = {"every_minutes": 60, "next_run_at": datetime(2026, 1, 1)}
                session.add(worker.Job(name="remind", kind="send_reminders", payload='{"most": 3}', **at))
                session.add(worker.Job(name="report", kind="report", **at))
                session.commit()
            engine.dispose()
        shop.db.session.commit()
    return urls, worker


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(query))]
    engine.dispose()
    return found


def test_before_and_after(tenants) -> None:  # noqa: ANN001
    urls, worker = tenants
    worker.poll()
    for url in urls.values():
        results = rows(url, "SELECT last_result, last_error FROM job ORDER BY name")
        assert results == [('{"sent": 2}', None), ('{"cents": 500}', None)]
    worker.poll()  # nothing is due
    assert rows(urls["acme"], "SELECT sum(reminders) FROM invoice") == [(2,)]
    if "POLYCHRON_PROGRAM" in os.environ:
        after(urls)


def after(urls: dict[str, str]) -> None:
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
        for slug, url in urls.items():
            for job in ("remind", "report"):
                polychron.polychron("job", "run", slug, job, "--wait")
            query = "SELECT status, CAST(result AS text) FROM polychron_job_execution ORDER BY id"
            ended = [(status, json.loads(str(result))) for status, result in rows(url, query)]
            assert ended == [("success", {"sent": 2}), ("success", {"cents": 500})]
            assert rows(url, "SELECT sum(reminders) FROM invoice") == [(4,)]
            output = "SELECT output FROM polychron_job_execution ORDER BY id LIMIT 1"
            assert "from billing@shop.example: please pay invoice 2" in str(rows(url, output))
