"""URLs as drivers want them. A real PostgreSQL is used if TEST_POSTGRES_URL names one."""

import os
import sqlite3
import threading
import time
import uuid
from typing import Any

import pytest
from conftest import Start
from sqlalchemy import text

from polychron import _database
from polychron.testing import FakeContext

POSTGRES = os.environ.get("TEST_POSTGRES_URL", "")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://a:p%40@db/x", "postgres://a:p%40@db/x"),
        ("postgres://a@db/x?sslmode=require", "postgres://a@db/x?sslmode=require"),
        ("postgres://a@db/x?ssl-mode=require", "postgres://a@db/x?sslmode=require"),
        ("postgres://a@db/x?statement-cache-capacity=0", "postgres://a@db/x"),
        (
            "postgres://a@db/x?options[search_path]=app&options=-c%20a%3Db",
            "postgres://a@db/x?options=-c%20search_path%3Dapp%20-c%20a%3Db",
        ),
    ],
)
def test_parameters_are_those_of_libpq(url: str, expected: str) -> None:
    assert _database._libpq_url(url) == expected


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/acme.db", "/var/acme.db"),
        ("sqlite:///var/a%20b%23.db?mode=rwc", "/var/a b#.db"),
        ("sqlite://:memory:", ":memory:"),
    ],
)
def test_paths_of_sqlite(url: str, path: str) -> None:
    assert _database._sqlite_path(url) == path


def test_sqlite_takes_the_arguments_of_its_driver() -> None:
    connection = FakeContext().connect(isolation_level=None)
    assert isinstance(connection, sqlite3.Connection)
    assert connection.isolation_level is None
    connection.close()


@pytest.mark.skipif(not POSTGRES, reason="TEST_POSTGRES_URL names no PostgreSQL")
def test_postgres() -> None:
    context = FakeContext(database_url=POSTGRES)
    with context.session() as db:
        assert db.execute(text("SELECT 42")).scalar() == 42
    kept = context.connect()
    assert kept.execute("SELECT 42").fetchone() == (42,)
    context._close()
    assert kept.closed


def wait_for_statements(text: str, count: int) -> None:
    """Waits until so many statements with this text run on the server."""
    asks = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE state = 'active' AND query = %s AND pid <> pg_backend_pid()"
    )
    until = time.monotonic() + 20
    with FakeContext(database_url=POSTGRES).connect(autocommit=True) as other:
        while (found := other.execute(asks, [text]).fetchone()) != (count,):
            assert time.monotonic() < until, f"{found[0]} statements run, not {count}"


def milliseconds(connection: Any) -> list[int]:
    """The session's limits."""
    names = ("statement_timeout", "idle_in_transaction_session_timeout", "client_connection_check_interval")
    asks = "SELECT setting::bigint FROM pg_settings WHERE name = %s"
    return [connection.execute(asks, [name]).fetchone()[0] for name in names]


@pytest.mark.skipif(not POSTGRES, reason="TEST_POSTGRES_URL names no PostgreSQL")
def test_the_server_limits_what_may_outlive_the_process() -> None:
    context = FakeContext(database_url=POSTGRES, timeout=3600)
    statement, idle, check = milliseconds(context.connect())
    assert 3_500_000 < statement == idle <= 3_601_000
    assert check == 1000
    with context.session() as db:
        assert milliseconds(db.connection().connection)[2] == 1000
    assert not context.connect().autocommit
    assert context.connect(autocommit=True).autocommit
    context._close()
    far = FakeContext(database_url=POSTGRES, timeout=1e9)
    assert milliseconds(far.connect())[0] == 2**31 - 1
    far._close()
    chosen = "options=-c%20statement_timeout%3D5s%20-c%20client_connection_check_interval%3D7s"
    url = f"{POSTGRES}{'&' if '?' in POSTGRES else '?'}{chosen}"
    limited = FakeContext(database_url=url)
    assert milliseconds(limited.connect())[::2] == [5000, 7000]
    limited._close()
    late = FakeContext(database_url=POSTGRES, timeout=-5)
    with pytest.raises(Exception, match="statement timeout"):
        late.connect(autocommit=True).execute("SELECT pg_sleep(600)")
    late._close()


@pytest.mark.skipif(not POSTGRES, reason="TEST_POSTGRES_URL names no PostgreSQL")
@pytest.mark.parametrize("opens", ["ctx.connect()", "ctx.session().connection().connection"])
def test_a_statement_of_a_killed_process_does_not_go_on_in_the_server(start: Start, opens: str) -> None:
    process = start(f"@job('sleep')\ndef sleep(p, ctx): {opens}.cursor().execute(p)")
    process.message()
    statement = f"SELECT pg_sleep(600) AS killed_{uuid.uuid4().hex}"
    process.start("sleep", statement, database_url=POSTGRES)
    wait_for_statements(statement, 1)
    process.process.kill()
    wait_for_statements(statement, 0)


@pytest.mark.skipif(not POSTGRES, reason="TEST_POSTGRES_URL names no PostgreSQL")
def test_a_cancelled_statement_does_not_go_on_in_the_server() -> None:
    context = FakeContext(database_url=POSTGRES)
    connection = context.connect()
    ended = threading.Event()
    statement = f"SELECT pg_sleep(600) AS cancelled_{uuid.uuid4().hex}"

    def sleep() -> None:
        try:
            connection.execute(statement)
        except Exception:
            ended.set()

    thread = threading.Thread(target=sleep, daemon=True)
    thread.start()
    wait_for_statements(statement, 1)
    context.cancel()
    context._close()
    assert ended.wait(20)
    thread.join()
