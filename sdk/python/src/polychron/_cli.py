"""The command line: `python -m polychron app.jobs`."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from polychron import _output, _process, _registry
from polychron._channel import Channel

_EPILOG = """\
A consumer starts this program:
  polychron up --handlers "python -m polychron app.jobs"
  polychron consumer --handlers "python -m polychron app.jobs --flask app:create_app"
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs handlers for a consumer, or lists them. Returns the exit status."""
    channel = Channel.from_environment()  # before the application can start a program
    options = _parser().parse_args(arguments)
    if channel is not None:
        for stream in (sys.stdout, sys.stderr):
            _by_line(stream)
        if options.concurrency > 1:
            _output.route_streams()
    sys.path.insert(0, os.getcwd())  # `python -m` does so, unless it is told to be safe
    around = _around(options.flask, options.django)
    for module in options.modules:
        importlib.import_module(module)
    handlers = _registry.handlers()
    if not handlers:
        modules = " ".join(options.modules)
        print(f'no handler in {modules}: write @job("type") above a function', file=sys.stderr)
        return 1
    for handler in handlers.values():
        handler.prepare()
    if options.list:
        for job_type, handler in sorted(handlers.items()):
            print(f"{job_type}\t{handler.name}")
        return 0
    if channel is None:
        print(
            f"POLYCHRON_FD is not set: a consumer must start this program.\n\n{_EPILOG}",
            end="",
            file=sys.stderr,
        )
        return 2
    _output.route_logging(options.log_level)
    _process.Process(channel, handlers, options.concurrency, around).run()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m polychron",
        description="Runs the handlers in modules for a Polychron consumer.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "modules", nargs="+", metavar="MODULE", help="a module with handlers, such as app.jobs"
    )
    parser.add_argument("--list", action="store_true", help="list the job types and their handlers")
    parser.add_argument(
        "--concurrency",
        type=_count,
        default=1,
        metavar="N",
        help="executions at once in one process: threads, or tasks of async handlers (default 1)",
    )
    application = parser.add_mutually_exclusive_group()
    application.add_argument(
        "--flask",
        metavar="MODULE:NAME",
        help="a Flask application, or a function that makes one; each run has its context",
    )
    application.add_argument("--django", metavar="SETTINGS", help="the settings module of a Django project")
    parser.add_argument(
        "--log-level",
        default="info",
        choices=["debug", "info", "warning", "error"],
        help="what `logging` writes to the output, unless the application configures it",
    )
    return parser


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 1000:
        raise argparse.ArgumentTypeError("must be from 1 to 1000")
    return count


def _by_line(stream: Any) -> None:
    """Writes each line at once: output can be read while the handler runs."""
    with contextlib.suppress(AttributeError):
        stream.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")


def _around(flask: str | None, django: str | None) -> _process.Around:
    """What each handler runs within."""
    if flask is not None:
        application = _load(flask)
        if not hasattr(application, "app_context"):
            application = application()
        return application.app_context  # type: ignore[no-any-return]
    if django is not None:
        return _django(django)
    return contextlib.nullcontext


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    if not name:
        raise SystemExit(f"--flask {place}: write MODULE:NAME, such as app:create_app")
    return getattr(importlib.import_module(module), name)


def _django(settings: str) -> _process.Around:
    os.environ["DJANGO_SETTINGS_MODULE"] = settings
    import django
    from django.db import close_old_connections, connections

    django.setup()

    @contextlib.contextmanager
    def around() -> Iterator[None]:
        close_old_connections()
        try:
            yield
        finally:
            connections.close_all()

    return around
