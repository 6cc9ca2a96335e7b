"""URLs as drivers want them. A real PostgreSQL is used if TEST_POSTGRES_URL names one."""

import os
import sqlite3
import threading
import time

import pytest
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


@pytest.mark.skipif(not POSTGRES, reason="TEST_POSTGRES_URL names no PostgreSQL")
def test_a_cancelled_statement_does_not_go_on_in_the_server() -> None:
    context = FakeContext(database_url=POSTGRES)
    connection = context.connect()
    ended = threading.Event()

    def sleep() -> None:
        try:
            connection.execute("SELECT pg_sleep(600)")
        except Exception:
            ended.set()

    thread = threading.Thread(target=sleep, daemon=True)
    thread.start()
    with FakeContext(database_url=POSTGRES).connect(autocommit=True) as other:
        asks = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%' AND pid <> pg_backend_pid()"
        )
        until = time.monotonic() + 20
        while other.execute(asks).fetchone() != (1,):
            assert time.monotonic() < until, "the statement has not started"
    context.cancel()
    context._close()
    assert ended.wait(20)
    thread.join()
