"""The exporter of other schedulers' jobs, with the real APScheduler."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[3]
EXPORTER = TOP / "operations/src/import/exporter.py"
APPLICATIONS = TOP / "polychron/tests/fixtures/import"

apscheduler = pytest.importorskip("apscheduler")


def export(*arguments: str, folder: Path, **variables: str) -> object:
    """What the exporter writes in a folder."""
    command = [sys.executable, str(EXPORTER), *arguments]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **variables}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("application", "scheduler"),
    [("newsroom", "scheduler"), ("homes", "collector.scheduler"), ("market", "scheduler")],
)
def test_applications_are_exported_without_being_started(application: str, scheduler: str) -> None:
    exported = export("apscheduler", "--app", f"{application}_app:{scheduler}", folder=APPLICATIONS)
    assert exported == json.loads((APPLICATIONS / f"{application}.json").read_text())


def test_a_job_store_is_read_row_by_row(tmp_path: Path) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    (tmp_path / "shop.py").write_text(
        "def report(kind):\n    raise AssertionError\n\nclass Session:\n    pass\n"
    )
    url = f"sqlite:///{tmp_path}/jobs.sqlite"
    (tmp_path / "fill.py").write_text(f"""
import shop
from apscheduler.schedulers.background import BackgroundScheduler
stores = {{"default": {{"type": "sqlalchemy", "url": "{url}"}}}}
jobs = BackgroundScheduler(timezone="Europe/Berlin", jobstores=stores)
jobs.start(paused=True)
jobs.add_job(shop.report, "cron", hour=5, id="daily", args=[{{1, 2}}], misfire_grace_time=60)
jobs.add_job(shop.report, "interval", minutes=5, id="session", args=[shop.Session()])
jobs.add_job(shop.report, "interval", minutes=5, id="resting", args=["a"]).pause()
jobs.shutdown()
""")
    subprocess.run([sys.executable, "fill.py"], cwd=tmp_path, check=True, timeout=60)
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        insert = sqlalchemy.text("INSERT INTO apscheduler_jobs (id, job_state) VALUES ('broken', :state)")
        connection.execute(insert, {"state": pickle.dumps({"trigger": None})[:-3]})
    engine.dispose()
    jobs = export("apscheduler", "--sqlalchemy", "env:STORE", folder=tmp_path, STORE=url)
    assert isinstance(jobs, list)
    by_id = {job["id"]: job for job in jobs}
    assert list(by_id) == ["broken", "daily", "resting", "session"]
    daily = by_id["daily"]
    assert (daily["func"], daily["hour"], daily["timezone"]) == ("shop:report", "5", "Europe/Berlin")
    assert (daily["args"], daily["misfire_grace_time"]) == ([[1, 2]], 60)
    assert daily["notes"] == ["args[0]: a set became a list"]
    assert "next_run_time" not in daily
    assert by_id["resting"]["next_run_time"] is None
    assert "shop.Session" in by_id["session"]["error"]
    assert "it cannot be read" in by_id["broken"]["error"]
    # Without the application's modules, its pickles cannot be read, and each job says so.
    (tmp_path / "elsewhere").mkdir()
    jobs = export("apscheduler", "--sqlalchemy", url, folder=tmp_path / "elsewhere")
    assert isinstance(jobs, list)
    assert "No module named 'shop'" in {job["id"]: job for job in jobs}["session"]["error"]
