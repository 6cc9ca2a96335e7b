"""Handler processes, driven as a consumer would drive them."""

import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import Start


def test_offers_its_handlers(start: Start) -> None:
    process = start("@job('b')\ndef b(): ...\n@job('a')\nasync def a(): ...")
    kind, hello = process.message()
    assert kind == "hello"
    assert hello["types"] == ["a", "b"]
    assert (hello["protocol"], hello["concurrency"]) == (1, 1)
    assert hello["sdk"].startswith("python/")


def test_an_import_that_fails_ends_the_process_with_the_reason(start: Start) -> None:
    process = start("import no_such_module")
    assert process.exit_status() != 0
    assert "No module named 'no_such_module'" in process.printed()


def test_an_annotation_that_cannot_be_resolved_ends_the_process(start: Start) -> None:
    process = start("@job('a')\ndef a(payload: 'Missing'): ...")
    assert process.exit_status() != 0
    assert "Missing" in process.printed()


def test_parameters_may_be_left_out(start: Start) -> None:
    process = start(
        textwrap.dedent("""
        @job('neither')
        def neither(): return "neither"
        @job('payload')
        def payload(p): return p
        @job('context')
        def context(ctx): return ctx.tenant
        @job('annotated')
        def annotated(c: Context): return c.tenant
        @job('both')
        def both(p, c): return [p, c.tenant]
        @job('default')
        def default(p, c=None): return [p, c.tenant]
        """)
    )
    process.message()
    results = [process.run(name, 1)[1]["result"] for name in
               ("neither", "payload", "context", "annotated", "both", "default")]  # fmt: skip
    assert results == ["neither", 1, "acme", "acme", [1, "acme"], [1, "acme"]]


def test_errors_keep_their_chain_and_leave_out_the_sdk(start: Start) -> None:
    process = start(
        textwrap.dedent("""
        def inner(): raise KeyError("x")
        def body():
            try: inner()
            except KeyError as error: raise ValueError("no such month") from error
        @job('plain')
        def plain(): body()
        @job('async')
        async def asynchronous(): body()
        """)
    )
    process.message()
    for name in ("plain", "async"):
        kind, failed = process.run(name)
        assert (kind, failed["kind"], failed["message"]) == ("failed", "ValueError", "no such month")
        assert "retry" not in failed
        assert "KeyError: 'x'" in failed["detail"]
        assert "The above exception was the direct cause" in failed["detail"]
        assert "polychron/" not in failed["detail"], failed["detail"]
        assert "concurrent/futures" not in failed["detail"]


def test_retry_and_fail_and_a_bad_payload(start: Start) -> None:
    process = start(
        textwrap.dedent("""
        from datetime import timedelta
        @job('fail')
        def fail(): raise Fail("no such customer")
        @job('retry')
        def retry(): raise Retry("busy", after=30)
        @job('later')
        def later(): raise Retry(after=timedelta(days=2))
        @job('typed')
        def typed(payload: dict[str, int]): ...
        @job('exit')
        def leave(): raise SystemExit(3)
        @job('result')
        def result(): return object()
        @job('nan')
        def nan(): return float("nan")
        """)
    )
    process.message()
    answers = {name: process.run(name, {"a": "x"})[1] for name in
               ("fail", "retry", "later", "typed", "exit", "result", "nan")}  # fmt: skip
    assert answers["fail"]["message"] == "no such customer"
    assert answers["fail"]["retry"] is False
    assert "kind" not in answers["fail"]
    assert answers["retry"]["retry_after_ms"] == 30_000
    assert answers["later"]["retry_after_ms"] == 3_600_000
    assert answers["typed"]["message"].startswith("payload.a cannot be read: expected an integer")
    assert "detail" not in answers["typed"]
    assert answers["exit"]["kind"] == "SystemExit"
    for name in ("result", "nan"):  # the work is done
        assert answers[name]["message"].startswith("the result cannot be written as JSON")
        assert answers[name]["retry"] is False


@pytest.mark.parametrize(
    ("payload", "scheduled_for", "why"),
    [
        ("1" * 5000, "2026-12-01T02:00:00Z", "the payload cannot be read: "),
        ("[" * 30_000 + "]" * 30_000, "2026-12-01T02:00:00Z", "the payload cannot be read: "),
        ("null", "+10000-01-01T00:00:00Z", "the execution cannot be started: "),
    ],
)
def test_what_python_cannot_represent_fails_its_own_execution_only(
    start: Start, payload: str, scheduled_for: str, why: str
) -> None:
    process = start(CANCELLED, "jobs", "--concurrency", "2")
    process.message()
    other = process.start("busy")
    assert process.message()[0] == "progress"
    line = process.start_line("lock", "PAYLOAD", scheduled_for=scheduled_for)
    process.send_raw(line.replace(b'"PAYLOAD"', payload.encode()))
    kind, failed = process.answer()
    assert (kind, failed["id"]) == ("failed", "execution-2")
    assert failed["message"].startswith(why)
    assert failed["retry"] is False
    process.cancel(other)
    assert process.answer()[1]["id"] == other


def test_results_may_be_what_programs_have(start: Start) -> None:
    process = start(
        textwrap.dedent("""
        import dataclasses, datetime, decimal, uuid, enum
        from pydantic import BaseModel
        class Colour(enum.Enum): RED = "red"
        @dataclasses.dataclass
        class Line: amount: decimal.Decimal
        class Model(BaseModel): day: datetime.date
        @job('all')
        def everything():
            return {"line": Line(decimal.Decimal("1.10")), "model": Model(day="2026-12-01"),
                    "at": datetime.datetime(2026, 12, 1), "id": uuid.UUID(int=1),
                    "colour": Colour.RED, "set": {1}, "tuple": (1,), "lone": "a\\ud800"}
        """)
    )
    process.message()
    assert process.run("all")[1]["result"] == {
        "line": {"amount": "1.10"},
        "model": {"day": "2026-12-01"},
        "at": "2026-12-01T00:00:00",
        "id": "00000000-0000-0000-0000-000000000001",
        "colour": "red",
        "set": [1],
        "tuple": [1],
        "lone": "a?",
    }


CANCELLED = """
import asyncio, time, threading
@job('sleep')
def sleep(p, ctx):
    try: ctx.progress(1); time.sleep(600)
    except Exception: return "swallowed"
    except Cancelled as error: return [error.why, ctx.cancelled]
@job('lock')
def lock(p, ctx):
    try: ctx.progress(1); threading.Event().wait()
    except Cancelled as error: return [error.why, ctx.cancelled]
@job('busy')
def busy(p, ctx):
    try:
        while True: ctx.progress(1)
    except Cancelled as error: return [error.why, ctx.cancelled]
@job('async')
async def asynchronous(p, ctx):
    try: await asyncio.wait_for(asyncio.gather(asyncio.sleep(600), inner(ctx)), 700)
    except Cancelled as error: return [error.why, ctx.cancelled, stopped]
stopped = []
async def inner(ctx):
    try: ctx.progress(1); await asyncio.sleep(600)
    finally: stopped.append("inner")
"""


@pytest.mark.parametrize(
    ("name", "concurrency"),
    [("sleep", 1), ("lock", 1), ("busy", 1), ("async", 1), ("busy", 3), ("async", 3)],
)
def test_a_cancel_is_raised_in_the_handler(start: Start, name: str, concurrency: int) -> None:
    process = start(CANCELLED, "jobs", "--concurrency", str(concurrency))
    process.message()
    for _ in range(3):
        execution = process.start(name)
        assert process.message()[0] == "progress"
        process.cancel(execution, "timeout")
        kind, done = process.answer()
        assert (kind, done["id"]) == ("done", execution), done
        assert done["result"][:2] == ["timeout", True]
    if name == "async":
        assert done["result"][2] == ["inner"] * 3


def test_a_cancel_that_is_not_caught_is_a_failure(start: Start) -> None:
    process = start(CANCELLED.replace("except Cancelled", "except ZeroDivisionError"))
    process.message()
    execution = process.start("sleep")
    process.message()
    process.cancel(execution)
    kind, failed = process.answer()
    assert (kind, failed["kind"], failed["message"]) == ("failed", "Cancelled", "request")


def test_several_executions_run_at_once(start: Start) -> None:
    source = """
import threading, asyncio
barrier = threading.Barrier(3)
@job('thread')
def thread(): barrier.wait(20)
count = 0
@job('task')
async def task():
    global count
    count += 1
    while count % 3: await asyncio.sleep(0)
"""
    process = start(source, "jobs", "--concurrency", "3")
    process.message()
    for name in ("thread", "task"):
        ids = {process.start(name) for _ in range(3)}
        assert {process.answer()[1]["id"] for _ in range(3)} == ids


OUTPUT = """
import logging, sys
@job('out')
def out(name):
    print("printed", name)
    logging.info("logged %s", name)
    logging.getLogger("app").error("bad %s", name)
    logging.debug("not %s", name)
    print("unfinished", name, end="")
"""


def test_output_is_in_order(start: Start) -> None:
    process = start(OUTPUT)
    process.message()
    process.run("out", "x")
    expected = "printed x\nINFO root: logged x\nERROR app: bad x\nunfinished x"
    assert process.printed() == expected


def test_output_of_several_executions_is_told_apart(start: Start) -> None:
    process = start(OUTPUT, "jobs", "--concurrency", "2")
    process.message()
    names = {process.start("out", name): name for name in ("x", "y")}
    logs: dict[str, list[tuple[str, str]]] = {one: [] for one in names}
    ended = 0
    while ended < 2:
        kind, fields = process.message()
        if kind == "log":
            logs[fields["id"]].append((fields["level"], fields["text"]))
        else:
            ended += 1
    for execution, name in names.items():
        assert logs[execution] == [
            ("info", f"printed {name}"),
            ("info", f"root: logged {name}"),
            ("error", f"app: bad {name}"),
            ("info", f"unfinished {name}"),
        ]
    assert process.printed() == ""


def test_logging_that_the_application_configures_stays(start: Start) -> None:
    configured = "import logging\nlogging.basicConfig(format='mine %(message)s', level='INFO')\n"
    process = start(configured + OUTPUT)
    process.message()
    process.run("out", "x")
    assert process.printed().count("logged x") == 1
    assert "mine logged x" in process.printed()


def test_variables_and_threads_of_an_execution_end_with_it(start: Start) -> None:
    process = start(
        textwrap.dedent("""
        import contextvars, threading
        tenant = contextvars.ContextVar("tenant", default=None)
        @job('var')
        def var(p, ctx):
            before = tenant.get()
            tenant.set(ctx.tenant)
            threading.Thread(target=threading.Event().wait).start()
            return before
        """)
    )
    process.message()
    assert [process.run("var")[1]["result"] for _ in range(2)] == [None, None]
    process.close()
    assert process.exit_status(10) == 0, "a thread that is left behind must not keep the process"


def test_a_forked_child_that_leaves_its_handler_ends_and_answers_nothing(start: Start) -> None:
    process = start(
        textwrap.dedent("""
        import os, threading, time
        def busy(ctx):
            while not ctx.cancelled:
                ctx.progress(1)
        @job('fork')
        def fork(p, ctx):
            # Often holds the socket's lock at the moment of the fork.
            threading.Thread(target=busy, args=[ctx], daemon=True).start()
            for how in ["return", "raise", "exit"] * 20:
                child = os.fork()
                if child == 0:
                    ctx.progress(2)
                    if how == "return": return "child"
                    if how == "raise": raise ValueError("child")
                    raise SystemExit(3)
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                assert status == (0 if how == "return" else 1), (how, status)
            ctx._cancelled = "done"
            return "parent"
        """)
    )
    process.message()
    assert process.run("fork")[1]["result"] == "parent"
    assert "ValueError: child" in process.printed()
    assert process.run("fork")[1]["result"] == "parent"


def test_a_forked_child_cannot_write_to_the_socket(start: Start) -> None:
    process = start(
        textwrap.dedent("""
        import os
        @job('fork')
        def fork(p, ctx):
            child = os.fork()
            if child == 0:
                ctx.progress(7)
                os._exit(0)
            os.waitpid(child, 0)
            return "parent"
        """)
    )
    process.message()
    process.start("fork")
    assert process.message() == ("done", {"id": "execution-1", "result": "parent"})


def test_connections_are_closed_and_rolled_back(start: Start, tmp_path: Path) -> None:
    database = tmp_path / "a b#.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE t (n)")
    connection.close()
    process = start(
        textwrap.dedent("""
        from sqlalchemy import text
        kept = []
        @job('connect')
        def connect(p, ctx):
            kept.append(ctx.connect())
            kept[-1].execute("INSERT INTO t VALUES (1)")
            if p: kept[-1].commit()
        @job('session')
        def session(p, ctx):
            with ctx.session() as db:
                db.execute(text("INSERT INTO t VALUES (2)"))
                if p: db.commit()
        @job('leak')
        def leak(p, ctx):
            db = ctx.session()
            return db.execute(text("SELECT count(*) FROM t")).scalar()
        @job('closed')
        def closed(p, ctx):
            import sqlite3
            try: kept[-1].execute("SELECT 1")
            except sqlite3.ProgrammingError: return True
        """)
    )
    process.message()
    url = "sqlite://" + str(database).replace("#", "%23").replace(" ", "%20")
    for job_type in ("connect", "session"):
        for commits in (True, False):
            assert process.run(job_type, commits, database_url=url)[0] == "done"
    assert process.run("leak", database_url=url)[1]["result"] == 2
    assert process.run("closed", database_url=url)[1]["result"] is True


def test_flask_has_its_context(start: Start, tmp_path: Path) -> None:
    (tmp_path / "flaskapp.py").write_text(
        "from flask import Flask\n"
        "def create_app():\n"
        "    app = Flask('shop'); app.config['NAME'] = 'the shop'; return app\n"
        "application = create_app()\n"
    )
    source = (
        "from flask import current_app\n"
        "@job('name')\ndef name(): return current_app.config['NAME']\n"
        "@job('async')\nasync def asynchronous(): return current_app.config['NAME']\n"
    )
    for place in ("flaskapp:create_app", "flaskapp:application"):
        process = start(source, "jobs", "--flask", place)
        process.message()
        for name in ("name", "async"):
            assert process.run(name)[1]["result"] == "the shop"


def test_django_is_set_up(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shopsettings.py").write_text(
        "ENGINE = 'django.db.backends.sqlite3'\n"
        f"DATABASES = {{'default': {{'ENGINE': ENGINE, 'NAME': '{tmp_path}/shop.db'}}}}\n"
        "INSTALLED_APPS = ['django.contrib.contenttypes']\n"
    )
    process = start(
        "from django.contrib.contenttypes.models import ContentType\n"
        "from django.db import connection\n"
        "@job('sql')\ndef sql():\n"
        "    before = connection.connection is None\n"
        "    with connection.cursor() as cursor:\n"
        "        return [before, cursor.execute('SELECT 42').fetchone()[0]]\n",
        "jobs",
        "--django",
        "shopsettings",
    )
    process.message()
    for _ in range(2):
        assert process.run("sql")[1]["result"] == [True, 42]


def test_a_person_is_told_how_to_start_it(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text("from polychron import job\n@job('a')\ndef a(): ...\n")
    command = [sys.executable, "-m", "polychron", "jobs"]
    alone = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert alone.returncode == 2
    assert "polychron up --handlers" in alone.stderr
    listed = subprocess.run([*command, "--list"], cwd=tmp_path, capture_output=True, text=True)
    assert (listed.returncode, listed.stdout) == (0, "a\tjobs.a\n")
    (tmp_path / "empty.py").write_text("")
    command[-1] = "empty"
    empty = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (empty.returncode, "no handler in empty" in empty.stderr) == (1, True)
    (tmp_path / "twice.py").write_text(
        "from polychron import job\n@job('a')\ndef a(): ...\n@job('a')\ndef b(): ...\n"
    )
    command[-1] = "twice"
    twice = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "job type 'a' is handled by both twice.a and twice.b" in twice.stderr
