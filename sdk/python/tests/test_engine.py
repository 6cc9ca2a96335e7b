"""Whole jobs on the real engine, in Python, Node and shell. Needs the program in POLYCHRON_PROGRAM."""

import os
import sqlite3
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from polychron.testing import Tenant, engine

TOP = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(
    "POLYCHRON_PROGRAM" not in os.environ, reason="POLYCHRON_PROGRAM names no program"
)

JOBS = """
import logging, os, time
from polychron import Context, Fail, job
@job("report")
def report(payload: dict[str, str], ctx: Context):
    with ctx.session() as db:
        db.connection().exec_driver_sql("INSERT INTO invoice VALUES (?)", (payload["month"],))
        db.commit()
    print("printed")
    logging.info("logged")
    return {"tenant": ctx.tenant, "attempt": ctx.attempt}
@job("refuse")
def refuse():
    raise Fail("no such month")
@job("crash")
def crash():
    print("last words")
    os._exit(0)
@job("hang")
def hang():
    time.sleep(600)
@job("process")
async def process():
    return os.getpid()
"""
NODE = """
import { serve } from "polychron";
serve({
  node: (payload, context) => { console.log("from node"); return [payload, context.tenant]; },
  progress: ({ total }, context) => context.progress(0 / total),
  throw: () => { throw Object.assign(new Error(), { message: 7 }); },
  hide: () => { throw { get [Symbol.toStringTag]() { throw 1; } }; },
  pid: () => process.pid,
  stubborn: () => new Promise((done) => setTimeout(done, 600_000)),
});
"""


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    folder = tmp_path_factory.mktemp("app")
    (folder / "enginejobs.py").write_text(JOBS)
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "polychron").symlink_to(TOP / "sdk" / "node")
    (folder / "jobs.mjs").write_text(textwrap.dedent(NODE))
    others = [f"node {folder}/jobs.mjs", f"sh {TOP}/examples/shell/handlers.sh"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        with engine("enginejobs", others=others) as polychron:
            tenant = polychron.add_tenant("acme")
            with closing(sqlite3.connect(tenant.database)) as db:
                db.execute("CREATE TABLE invoice (month)")
            yield tenant


def test_a_result_with_output_and_the_tenant_s_database(acme: Tenant) -> None:
    ran = acme.run("report", {"month": "2026-11"})
    assert (ran.status, ran.result) == ("success", {"tenant": "acme", "attempt": 1}), ran
    assert ran.output == "printed\nINFO root: logged\n"
    with closing(sqlite3.connect(acme.database)) as db:
        assert db.execute("SELECT month FROM invoice").fetchall() == [("2026-11",)]


def test_failures(acme: Tenant) -> None:
    ran = acme.run("refuse", max_attempts=3)
    assert (ran.status, ran.error_kind, ran.error_message) == ("failed", "handler", "no such month")
    assert "raise Fail" in (ran.error_detail or "")
    ran = acme.run("report", {"month": 11})
    assert (ran.error_message or "").startswith("payload.month cannot be read: expected a string")


def test_a_crash_and_a_timeout_cost_one_attempt(acme: Tenant) -> None:
    ran = acme.run("crash")
    assert (ran.status, ran.error_kind, ran.output) == ("failed", "crash", "last words\n")
    before = acme.run("process").result
    ran = acme.run("hang", timeout=1)
    assert (ran.status, ran.error_kind) == ("failed", "timeout")
    assert acme.run("process").result == before, "the handler was interrupted, so its process goes on"


def test_other_languages(acme: Tenant) -> None:
    ran = acme.run("node", {"a": 1})
    assert (ran.result, ran.output) == ([{"a": 1}, "acme"], "INFO from node\n")
    before = acme.run("pid").result
    assert acme.run("progress", {"total": 0}).error_message == "RangeError: progress of NaN"
    assert acme.run("throw").error_message == "Error: 7"
    assert "cannot be shown" in (acme.run("hide").error_message or "")
    assert acme.run("pid").result == before, "the process goes on"
    ran = acme.run("stubborn", timeout=1)
    assert (ran.status, ran.error_kind) == ("failed", "timeout")
    until = time.monotonic() + 60
    while acme.run("pid").result == before:
        assert time.monotonic() < until, "a process whose handler ignores the signal is replaced"
    assert acme.run("greet", {"name": "Ann"}).result == "Hello, Ann of acme!"
