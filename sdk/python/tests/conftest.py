"""Starts handler processes as a consumer would."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "conformance"))

from driver import Driver  # noqa: E402

Start = Callable[..., Driver]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `python -m polychron jobs` in a folder with this source as `jobs.py`."""
    started: list[Driver] = []

    def start(source: str, *arguments: str) -> Driver:
        (tmp_path / "jobs.py").write_text("from polychron import *\n" + source)
        paths = [str(tmp_path), str(HERE), os.environ.get("PYTHONPATH", "")]
        command = [sys.executable, "-m", "polychron", *(arguments or ["jobs"])]
        started.append(Driver(command, PYTHONPATH=os.pathsep.join(filter(None, paths))))
        return started[-1]

    yield start
    for one in started:
        one.__exit__()
