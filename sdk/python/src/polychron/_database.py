"""Opens the tenant's database with the drivers that are installed. None is required."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

if TYPE_CHECKING:
    from sqlalchemy import Engine

# Parameters that the consumer's driver knows under other names than libpq, or alone.
_RENAMED = {
    "ssl-mode": "sslmode",
    "ssl-root-cert": "sslrootcert",
    "ssl-ca": "sslrootcert",
    "ssl-cert": "sslcert",
    "ssl-key": "sslkey",
    "statement-cache-capacity": None,
}
# How long after the deadline PostgreSQL aborts a statement by itself.
_SERVER_GRACE_SECONDS = 1
# How often PostgreSQL checks whether the process of a running statement is still there.
_CLIENT_CHECK_MILLIS = 1000
_SETTING_MILLIS_MAX = 2**31 - 1
# Leaves a limit that URL, role or database have set.
_SET = "SELECT set_config('{0}', '{1}', false) WHERE current_setting('{0}', true) = '0'"


def connect(url: str, arguments: dict[str, Any], time_left: float) -> Any:
    """A connection of `sqlite3`, psycopg or psycopg2. `time_left` are the seconds until the deadline."""
    if url.startswith("sqlite:"):
        import sqlite3

        return sqlite3.connect(_sqlite_path(url), **arguments)
    return _connect_postgres(_postgres_driver(), url, arguments, time_left)


def _connect_postgres(driver: ModuleType, url: str, arguments: dict[str, Any], time_left: float) -> Any:
    """A connection whose statements and transactions do not outlive this process, which may be killed."""
    connection = driver.connect(_libpq_url(url), **arguments)
    millis = round((time_left + _SERVER_GRACE_SECONDS) * 1000)
    millis = min(max(millis, 1), _SETTING_MILLIS_MAX)
    settings = {
        "statement_timeout": millis,
        "idle_in_transaction_session_timeout": millis,
        # PostgreSQL before 14 has none, and a server on Windows refuses it.
        "client_connection_check_interval": _CLIENT_CHECK_MILLIS,
    }
    wanted, connection.autocommit = connection.autocommit, True
    for name, value in settings.items():
        with contextlib.suppress(driver.Error), connection.cursor() as cursor:
            cursor.execute(_SET.format(name, value))
    connection.autocommit = wanted
    return connection


def stop_statement(connection: Any) -> None:
    """Stops a statement whose result nobody waits for; the server would go on with it."""
    cancel = getattr(connection, "cancel", None)  # sqlite3 has none
    if cancel is not None and not connection.closed:
        with contextlib.suppress(Exception):
            cancel()


def engine(url: str, opened: Callable[[Any], None], time_left: Callable[[], float]) -> Engine:
    """A SQLAlchemy engine. `opened` gets each connection of psycopg that it opens, and `time_left` tells
    the seconds until the deadline."""
    try:
        import sqlalchemy
    except ImportError as error:
        raise ImportError("ctx.session() needs SQLAlchemy: pip install 'polychron[sqlalchemy]'") from error
    if url.startswith("sqlite:"):
        return sqlalchemy.create_engine(sqlalchemy.URL.create("sqlite", database=_sqlite_path(url)))
    driver = _postgres_driver()

    def open_connection() -> Any:
        connection = _connect_postgres(driver, url, {}, time_left())
        opened(connection)
        return connection

    return sqlalchemy.create_engine(
        f"postgresql+{driver.__name__}://", creator=open_connection, pool_size=1, max_overflow=3
    )


def _postgres_driver() -> ModuleType:
    for name in ("psycopg", "psycopg2"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise ImportError(
        "the tenant's database is PostgreSQL, which needs psycopg: pip install 'polychron[psycopg]'"
    )


def _sqlite_path(url: str) -> str:
    return unquote(url.removeprefix("sqlite:").removeprefix("//").partition("?")[0])


def _libpq_url(url: str) -> str:
    """The URL without parameters that libpq rejects, and with those it knows by another name."""
    parts = urlsplit(url)
    kept: list[tuple[str, str]] = []
    options: list[str] = []
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        known = _RENAMED.get(name, name)
        if known == "options":
            options.append(value)
        elif name.startswith("options[") and name.endswith("]"):
            options.append(f"-c {name[8:-1]}={value}")
        elif known is not None:
            kept.append((known, value))
    if options:
        kept.append(("options", " ".join(options)))
    # libpq reads %20, but not a plus sign, as a space.
    query = urlencode(kept, quote_via=lambda text, *_: _quote(text))
    return urlunsplit(parts._replace(query=query))


def _quote(text: Any) -> str:
    from urllib.parse import quote

    return quote(str(text), safe="")
